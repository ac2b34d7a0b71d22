"""The OpenAPI 3.1 document of the API, generated from the operations and types that serve it."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import hdrs
from msgspec import UNSET

from spsd import __version__
from spsd.errors import (
    ExpectationFailedError,
    InsufficientStorageError,
    InternalError,
    InvalidRequestBodyError,
    MalformedRequestError,
    RequestBodyTooLargeError,
    RequestError,
    RequestHeaderFieldsTooLargeError,
    RequestTimeoutError,
    StorageBusyError,
    StorageFailedError,
    TooManyAttemptsError,
    TooManyReadersError,
    UnauthenticatedError,
    UnauthorizedError,
    UnsupportedContentCodingError,
    UriTooLongError,
)
from spsd.web.contract import (
    EVENT_STREAM,
    JSON,
    SCHEMA_REF,
    Access,
    Field,
    Link,
    Operation,
    RequestBody,
    SuccessResponse,
)
from spsd.web.links import LOG_IN
from spsd.web.middleware.auth import COOKIE
from spsd.web.middleware.problems import STATUS, Problem, meaning_of
from spsd.web.responses import COMMON_FIELDS, Shape

_VARIABLE = re.compile(r"\{(\w+)\}")
_VARIABLES = {
    "key": ("Key of the download.", {"type": "string", "minLength": 1}),
    "slot": ("Number of the slot.", {"type": "string", "pattern": "^[1-9][0-9]{0,3}$"}),
}
_ERROR_HEADERS: dict[type[RequestError], Field] = {
    UnsupportedContentCodingError: Field(
        hdrs.ACCEPT_ENCODING, "The content codings that a body may have.", required=True
    ),
    UnauthenticatedError: Field(hdrs.WWW_AUTHENTICATE, "The authentication scheme.", required=True),
    TooManyAttemptsError: Field(
        hdrs.RETRY_AFTER,
        "Seconds to wait before the next request.",
        {"type": "integer"},
        required=True,
    ),
    TooManyReadersError: Field(
        hdrs.RETRY_AFTER,
        "Seconds to wait before the next request.",
        {"type": "integer"},
        required=True,
    ),
    StorageBusyError: Field(
        hdrs.RETRY_AFTER,
        "Seconds to wait before the next request.",
        {"type": "integer"},
        required=True,
    ),
}
_ABOUT = (
    "The firmware part of the SPS REST API, as implemented by spsd. A client sends the URL and the "
    "SHA-256 of a firmware image; spsd downloads the image, verifies it and installs it in a "
    "firmware slot. The client then tests the slot and chooses it for the next boot. Images can "
    "also be uploaded."
)


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """The document of ``operations``, as JSON values."""
    paths: dict[str, dict[str, Any]] = {}
    schemas = _Schemas(operations)
    for operation in operations:
        path_item = paths.setdefault(operation.path, {})
        path_item[operation.method.lower()] = _operation_object(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "spsd",
            "version": __version__,
            "summary": "Firmware downloads of a lab appliance",
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(row.tag for row in operations)],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "securitySchemes": {
                "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
                "basic": {"type": "http", "scheme": "basic"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


class _Schemas:
    """The JSON Schemas of all types of the operations."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        types = dict.fromkeys(_types(operations))
        references, self.components = msgspec.json.schema_components(types, ref_template=SCHEMA_REF)
        self._references = dict(zip(types, references, strict=True))
        for struct in _structs(tuple(types)):
            _require_sent_members(self.components[struct.__name__], struct)

    def reference_to(self, kind: type[msgspec.Struct]) -> dict[str, Any]:
        """A reference to the schema of ``kind``."""
        return self._references[kind]


def _types(operations: Sequence[Operation]) -> Iterator[type[msgspec.Struct]]:
    yield Problem
    for operation in operations:
        if operation.success.content is not None:
            yield operation.success.content
        yield from operation.success.nested
        if operation.request_body is not None and operation.request_body.content is not None:
            yield operation.request_body.content


def _structs(types: tuple[type, ...]) -> set[type[Shape]]:
    """All shapes among the types and nested in them."""
    shapes: set[type[Shape]] = set()

    def visit(node: object) -> None:
        match node:
            case msgspec.inspect.StructType(cls=cls, fields=fields):
                if issubclass(cls, Shape):
                    shapes.add(cls)
                for field in fields:
                    visit(field.type)
            case msgspec.inspect.ListType(item_type=inner) | msgspec.inspect.Metadata(type=inner):
                visit(inner)
            case msgspec.inspect.UnionType(types=alternatives):
                for inner in alternatives:
                    visit(inner)
            case _:
                return

    for kind in msgspec.inspect.multi_type_info(types):
        visit(kind)
    return shapes


def _require_sent_members(schema: dict[str, Any], shape: type[Shape]) -> None:
    """Mark members with a default as required: a response has them in any case."""
    sent = [
        field.encode_name for field in msgspec.structs.fields(shape) if field.default is not UNSET
    ]
    if sent:
        schema["required"] = sent
    for member in schema["properties"].values():
        member.pop("default", None)


def _operation_object(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "x-spsd-access": operation.access.value,
        "security": _security(operation),
        "responses": _responses(operation, schemas),
    }
    if operation.notes:
        described["description"] = operation.notes
    parameters = [
        *_path_parameters(operation.path),
        *(_parameter(field, "query") for field in operation.query),
        *(_parameter(field, "header") for field in operation.headers),
    ]
    if parameters:
        described["parameters"] = parameters
    if operation.request_body is not None:
        content = _request_content(operation.request_body, schemas)
        described["requestBody"] = {"required": True, "content": content}
    return described


def _security(operation: Operation) -> list[dict[str, list[str]]]:
    if operation.path == LOG_IN and operation.access is Access.ANYONE:
        return [{"basic": []}]
    match operation.access:
        case Access.ANYONE:
            return []
        case Access.OPTIONAL_SESSION:
            return [{}, {"session": []}]
        case Access.MONITOR:
            return [{}, {"bearer": []}, {"session": []}]
        case Access.VIEWER | Access.ADMIN:
            return [{"session": []}]


def _path_parameters(path: str) -> Iterator[dict[str, Any]]:
    for name in _VARIABLE.findall(path):
        meaning, schema = _VARIABLES[name]
        yield {
            "name": name,
            "in": "path",
            "required": True,
            "description": meaning,
            "schema": schema,
        }


def _parameter(field: Field, place: str) -> dict[str, Any]:
    return {"name": field.name, "in": place, **_field(field)}


def _field(field: Field) -> dict[str, Any]:
    described = {"description": field.meaning, "schema": dict(field.schema)}
    return described | ({"required": True} if field.required else {})


def _request_content(body: RequestBody, schemas: _Schemas) -> dict[str, Any]:
    content = {
        media_type: {"schema": dict(schema)} for media_type, schema in body.media_types.items()
    }
    if body.content is not None:
        content[JSON] = {"schema": schemas.reference_to(body.content)}
    return content


def _responses(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    success = operation.success
    schema = {} if success.content is None else {"schema": schemas.reference_to(success.content)}
    described: dict[str, Any] = {
        "description": success.meaning,
        "headers": _headers(success.headers),
        "content": dict.fromkeys((success.media_type, *success.other_media_types), schema),
    }
    if success.stream:
        described["content"][EVENT_STREAM] = {
            "schema": {"type": "string", "description": success.stream}
        }
    if operation.links:
        described["links"] = {link.operation: _link(link) for link in operation.links}
    by_status: dict[HTTPStatus, list[type[RequestError]]] = defaultdict(list)
    for error in dict.fromkeys(errors_of(operation)):
        by_status[STATUS[error]].append(error)
    problems = {
        str(status.value): _problem(by_status[status], schemas) for status in sorted(by_status)
    }
    return {str(success.status.value): described} | _not_modified(success) | problems


def _not_modified(success: SuccessResponse) -> dict[str, Any]:
    if not success.conditional:
        return {}
    described = {
        "description": "The revision is still one of those in `If-None-Match`.",
        "headers": _headers(success.headers),
    }
    return {str(HTTPStatus.NOT_MODIFIED.value): described}


def errors_of(operation: Operation) -> Iterator[type[RequestError]]:
    """All errors with which the operation may respond; some may occur twice."""
    yield from operation.errors
    if operation.access in (Access.VIEWER, Access.ADMIN, Access.MONITOR):
        yield UnauthenticatedError
    # Writes from other web sites are refused for every access.
    if operation.access is Access.ADMIN or operation.method not in (hdrs.METH_GET, hdrs.METH_HEAD):
        yield UnauthorizedError
    if operation.request_body is not None:
        yield InvalidRequestBodyError
        yield RequestTimeoutError
        yield UnsupportedContentCodingError
        if operation.request_body.content is not None:
            yield RequestBodyTooLargeError
    yield from (MalformedRequestError, UriTooLongError, RequestHeaderFieldsTooLargeError)
    yield ExpectationFailedError
    yield from (InternalError, StorageBusyError, StorageFailedError, InsufficientStorageError)


def _problem(errors: Sequence[type[RequestError]], schemas: _Schemas) -> dict[str, Any]:
    types = {"properties": {"type": {"enum": sorted(error.type for error in errors)}}}
    return {
        "description": " ".join(f"`{error.type}`: {meaning_of(error)}" for error in errors),
        "headers": _headers([_ERROR_HEADERS[error] for error in errors if error in _ERROR_HEADERS]),
        "content": {
            JSON: {"schema": {**schemas.reference_to(Problem), "properties": {"error": types}}},
        },
    }


def _headers(fields: Sequence[Field]) -> dict[str, Any]:
    return {field.name: _field(field) for field in (*COMMON_FIELDS, *fields)}


def _link(link: Link) -> dict[str, Any]:
    described: dict[str, Any] = {"operationId": link.operation}
    if link.parameters:
        described["parameters"] = dict(link.parameters)
    if link.body:
        described["requestBody"] = dict(link.body)
    return described
