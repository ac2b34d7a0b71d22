"""Checks each response against the OpenAPI document: status, header fields and content."""

import json
import re
from collections.abc import Mapping
from typing import Any

import jsonschema_rs
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient

from spsd.web.middleware.problems import STATUS, Problem
from spsd.web.openapi import document
from spsd.web.routes import OPERATIONS

DOCUMENT = document(OPERATIONS)
_PATHS = [
    (re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), operations)
    for path, operations in DOCUMENT["paths"].items()
]
_KNOWN = {(kind.type, status) for kind, status in STATUS.items()}


def operation(method: str, path: str) -> Mapping[str, Any] | None:
    """The operation in the document; None if there is none."""
    single = re.sub(r"/{2,}", "/", path).rstrip("/") or "/"
    for pattern, operations in _PATHS:
        if pattern.fullmatch(single):
            return operations.get("get" if method == "HEAD" else method.lower())
    return None


def check(response: ClientResponse, body: bytes) -> None:
    """Fail if the response is not as the document describes it."""
    where = f"{response.method} {response.url.raw_path}: {response.status}"
    described = operation(response.method, response.url.raw_path)
    if described is None:
        media_type = {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}
        content, headers = {"application/json": media_type}, {}
    else:
        assert str(response.status) in described["responses"], f"{where} is not described"
        expected = described["responses"][str(response.status)]
        content, headers = expected.get("content"), expected["headers"]
    required = [name for name, header in headers.items() if header.get("required")]
    missing = [name for name in required if name not in response.headers]
    assert not missing, f"{where} lacks {missing}"
    if content is None:
        assert body == b"", f"{where} has content"
        return
    assert response.content_type in content, f"{where} is {response.content_type}"
    if response.method == "HEAD" or response.content_type != "application/json":
        return
    value = json.loads(body)
    schema = content["application/json"].get("schema", {})
    jsonschema_rs.validate({**schema, "components": DOCUMENT["components"]}, value)
    if response.status >= 400:
        assert (value["error"]["type"], response.status) in _KNOWN, where


class CheckedClient(TestClient):
    """A client that checks every response against the document."""

    async def _request(self, *args: Any, **kwargs: Any) -> ClientResponse:
        response = await super()._request(*args, **kwargs)
        check(response, await response.read())
        return response
