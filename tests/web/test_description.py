"""The description in OpenAPI: whole, valid, and true of every answer that the other tests get."""

import re
from http import HTTPStatus

import jsonschema_rs
import pytest

from spsd.web.contract import Access
from spsd.web.middleware.problems import STATUS
from spsd.web.openapi import document, errors_of
from spsd.web.routes import OPERATIONS
from tests.web.conftest import Api
from tests.web.contract import DOCUMENT

BY_NAME = {one.name: one for one in OPERATIONS}


async def test_it_is_served_to_anyone(api: Api) -> None:
    for name in (None, "viewer"):
        client = await api.client(name)
        response = await client.get("/api/openapi.json")
        assert response.content_type == "application/json"
        assert await response.json() == document(OPERATIONS)


async def test_every_route_is_described_and_served(api: Api) -> None:
    client = await api.client()
    served = {
        (route.method, route.resource.canonical)
        for route in client.app.router.routes()
        if route.method != "HEAD"
    }
    described = {
        (method.upper(), path)
        for path, operations in DOCUMENT["paths"].items()
        for method in operations
    }
    assert served == described == {(one.method, one.path) for one in OPERATIONS}
    assert len(BY_NAME) == len(OPERATIONS), "two operations have one name"


@pytest.mark.parametrize("name", BY_NAME)
def test_every_status_is_described(name: str) -> None:
    one = BY_NAME[name]
    described = DOCUMENT["paths"][one.path][one.method.lower()]
    statuses = {one.answer.status} | {STATUS[error] for error in errors_of(one)}
    if one.answer.conditional:
        statuses.add(HTTPStatus.NOT_MODIFIED)
    assert set(described["responses"]) == {str(status.value) for status in statuses}
    assert ("401" in described["responses"]) >= (one.access in (Access.VIEWER, Access.ADMIN))
    assert ("403" in described["responses"]) >= (one.access is Access.ADMIN)
    assert described["summary"]
    assert not described["summary"].endswith(".")


def test_every_schema_is_one_and_leads_somewhere() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    for name, schema in schemas.items():
        jsonschema_rs.meta.validate(
            {**schema, "$schema": "https://json-schema.org/draft/2020-12/schema"}
        )
        assert schema.get("description"), f"{name} says nothing of itself"
    references = set(re.findall(r"#/components/schemas/(\w+)", str(DOCUMENT)))
    assert references <= set(schemas)
    assert set(schemas) <= references | {"Problem"}, "a schema that nothing uses"


def test_links_lead_to_operations_and_their_parameters() -> None:
    for one in OPERATIONS:
        for link in one.links:
            target = BY_NAME[link.operation]
            assert set(link.parameters) == set(re.findall(r"\{(\w+)\}", target.path))
            assert bool(link.body) == (target.takes is not None)


def test_a_member_that_is_left_out_is_noticed() -> None:
    schema = {"$ref": "#/components/schemas/Download", "components": DOCUMENT["components"]}
    whole = {
        "body": {
            "bytes_downloaded": 0,
            "bytes_total": 0,
            "error": None,
            "info": None,
            "slot_id": None,
            "start_time": None,
            "status": "queued",
            "url": "https://images.example.org/appliance-2.iso",
        },
        "key": "k",
        "meta": {"href": "/api/firmware/fetch/k", "parent": "/api/firmware/fetch"},
    }
    assert jsonschema_rs.is_valid(schema, whole)
    for name in whole["body"]:
        less = {**whole, "body": {k: v for k, v in whole["body"].items() if k != name}}
        assert not jsonschema_rs.is_valid(schema, less)
    more = {**whole, "body": {**whole["body"], "percent": 3}}
    assert not jsonschema_rs.is_valid(schema, more)
