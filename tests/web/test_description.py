"""The OpenAPI document is complete and valid; tests.web.contract checks all responses with it."""

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

BY_NAME = {operation.name: operation for operation in OPERATIONS}


async def test_it_needs_no_session(api: Api) -> None:
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
    assert served == described == {(operation.method, operation.path) for operation in OPERATIONS}
    assert len(BY_NAME) == len(OPERATIONS), "two operations have the same name"


@pytest.mark.parametrize("name", BY_NAME)
def test_every_status_is_described(name: str) -> None:
    operation = BY_NAME[name]
    described = DOCUMENT["paths"][operation.path][operation.method.lower()]
    statuses = {operation.success.status} | {STATUS[error] for error in errors_of(operation)}
    if operation.success.conditional:
        statuses.add(HTTPStatus.NOT_MODIFIED)
    assert set(described["responses"]) == {str(status.value) for status in statuses}
    assert ("401" in described["responses"]) >= (operation.access in (Access.VIEWER, Access.ADMIN))
    assert ("403" in described["responses"]) >= (operation.access is Access.ADMIN)
    assert described["summary"]
    assert not described["summary"].endswith(".")


def test_every_schema_is_valid_described_and_used() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    for name, schema in schemas.items():
        jsonschema_rs.meta.validate(
            {**schema, "$schema": "https://json-schema.org/draft/2020-12/schema"}
        )
        assert schema.get("description"), f"{name} has no description"
    references = set(re.findall(r"#/components/schemas/(\w+)", str(DOCUMENT)))
    assert references <= set(schemas)
    assert set(schemas) <= references | {"Problem"}, "a schema that nothing uses"


def test_links_name_operations_and_their_parameters() -> None:
    for operation in OPERATIONS:
        for link in operation.links:
            target = BY_NAME[link.operation]
            assert set(link.parameters) == set(re.findall(r"\{(\w+)\}", target.path))
            assert bool(link.body) == (target.request_body is not None)


def test_the_schema_refuses_missing_and_additional_members() -> None:
    schema = {"$ref": "#/components/schemas/Download", "components": DOCUMENT["components"]}
    complete = {
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
    assert jsonschema_rs.is_valid(schema, complete)
    for name in complete["body"]:
        without = {k: v for k, v in complete["body"].items() if k != name}
        assert not jsonschema_rs.is_valid(schema, {**complete, "body": without})
    additional = {**complete, "body": {**complete["body"], "percent": 3}}
    assert not jsonschema_rs.is_valid(schema, additional)
