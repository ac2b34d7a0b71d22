"""The description of the API in OpenAPI 3.1, made from the rows and types that serve it."""

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
    RequestBodyTooLargeError,
    RequestError,
    RequestTimeoutError,
    StorageBusyError,
    StorageFailedError,
    TooManyAttemptsError,
    TooManyReadersError,
    UnauthenticatedError,
    UnauthorizedError,
)
from spsd.web.contract import (
    EVENT_STREAM,
    JSON,
    SCHEMA_REF,
    Access,
    Field,
    Link,
    Operation,
    SuccessResponse,
)
from spsd.web.links import LOG_IN
from spsd.web.middleware.auth import COOKIE
from spsd.web.middleware.problems import STATUS, Problem, meaning_of
from spsd.web.responses import EVERYWHERE, Shape

_VARIABLE = re.compile(r"\{(\w+)\}")
_VARIABLES = {
    "key": ("The download's key.", {"type": "string", "minLength": 1}),
    "slot": ("The slot's number.", {"type": "string", "pattern": "^[1-9][0-9]{0,3}$"}),
}
_ERROR_HEADERS: dict[type[RequestError], Field] = {
    UnauthenticatedError: Field(hdrs.WWW_AUTHENTICATE, "How to log in.", required=True),
    TooManyAttemptsError: Field(
        hdrs.RETRY_AFTER, "Seconds to wait.", {"type": "integer"}, required=True
    ),
    TooManyReadersError: Field(
        hdrs.RETRY_AFTER, "Seconds to wait.", {"type": "integer"}, required=True
    ),
    StorageBusyError: Field(
        hdrs.RETRY_AFTER, "Seconds to wait.", {"type": "integer"}, required=True
    ),
}
_ABOUT = (
    "The firmware part of the SPS REST API as spsd speaks it: a client hands over a URL and a "
    "SHA-256; the image is downloaded, proven and put into a firmware slot, tested, and chosen "
    "for the next boot. Firmware images may also be uploaded."
)


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """The whole description."""
    paths: dict[str, dict[str, Any]] = {}
    schemas = _Schemas(operations)
    for one in operations:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "spsd",
            "version": __version__,
            "summary": "The firmware daemon of a lab appliance",
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(one.tag for one in operations)],
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
    """The JSON Schemas of all types that the operations name."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        types = dict.fromkeys(_types(operations))
        references, self.components = msgspec.json.schema_components(types, ref_template=SCHEMA_REF)
        self._of = dict(zip(types, references, strict=True))
        for struct in _structs(tuple(types)):
            _complete(self.components[struct.__name__], struct)

    def of(self, kind: type[msgspec.Struct]) -> dict[str, Any]:
        """A reference to the type's schema."""
        return self._of[kind]


def _types(operations: Sequence[Operation]) -> Iterator[type[msgspec.Struct]]:
    yield Problem
    for one in operations:
        if one.answer.content is not None:
            yield one.answer.content
        yield from one.answer.inside
        if one.takes is not None and one.takes.content is not None:
            yield one.takes.content


def _structs(types: tuple[type, ...]) -> set[type[Shape]]:
    """All shapes among the types and inside them."""
    found: set[type[Shape]] = set()

    def visit(node: object) -> None:
        match node:
            case msgspec.inspect.StructType(cls=cls, fields=fields):
                if issubclass(cls, Shape):
                    found.add(cls)
                for field in fields:
                    visit(field.type)
            case msgspec.inspect.ListType(item_type=inner) | msgspec.inspect.Metadata(type=inner):
                visit(inner)
            case msgspec.inspect.UnionType(types=several):
                for inner in several:
                    visit(inner)
            case _:
                return

    for kind in msgspec.inspect.multi_type_info(types):
        visit(kind)
    return found


def _complete(schema: dict[str, Any], shape: type[Shape]) -> None:
    """Of what we send, a member with a default is there all the same."""
    always = [
        field.encode_name for field in msgspec.structs.fields(shape) if field.default is not UNSET
    ]
    if always:
        schema["required"] = always
    for member in schema["properties"].values():
        member.pop("default", None)


def _operation(one: Operation, schemas: _Schemas) -> dict[str, Any]:
    told: dict[str, Any] = {
        "operationId": one.name,
        "tags": [one.tag],
        "summary": one.summary,
        "x-spsd-access": one.access.value,
        "security": _security(one),
        "responses": _responses(one, schemas),
    }
    if one.notes:
        told["description"] = one.notes
    parameters = [
        *_path_parameters(one.path),
        *(_parameter(field, "query") for field in one.query),
        *(_parameter(field, "header") for field in one.headers),
    ]
    if parameters:
        told["parameters"] = parameters
    if one.takes is not None:
        told["requestBody"] = {"required": True, "content": _content(one, schemas)}
    return told


def _security(one: Operation) -> list[dict[str, list[str]]]:
    if one.path == LOG_IN and one.access is Access.ANYONE:
        return [{"basic": []}]
    match one.access:
        case Access.ANYONE:
            return []
        case Access.EITHER:
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
    told = {"description": field.meaning, "schema": dict(field.schema)}
    return told | ({"required": True} if field.required else {})


def _content(one: Operation, schemas: _Schemas) -> dict[str, Any]:
    if one.takes is None:
        return {}
    media = {kind: {"schema": dict(schema)} for kind, schema in one.takes.media_types.items()}
    if one.takes.content is not None:
        media[JSON] = {"schema": schemas.of(one.takes.content)}
    return media


def _responses(one: Operation, schemas: _Schemas) -> dict[str, Any]:
    good = one.answer
    schema = {} if good.content is None else {"schema": schemas.of(good.content)}
    success: dict[str, Any] = {
        "description": good.meaning,
        "headers": _headers(good.headers),
        "content": dict.fromkeys((good.media_type, *good.also), schema),
    }
    if good.stream:
        success["content"][EVENT_STREAM] = {
            "schema": {"type": "string", "description": good.stream}
        }
    if one.links:
        success["links"] = {link.operation: _link(link) for link in one.links}
    by_status: dict[HTTPStatus, list[type[RequestError]]] = defaultdict(list)
    for error in dict.fromkeys(errors_of(one)):
        by_status[STATUS[error]].append(error)
    problems = {
        str(status.value): _problem(by_status[status], schemas) for status in sorted(by_status)
    }
    return {str(good.status.value): success} | _unchanged(good) | problems


def _unchanged(good: SuccessResponse) -> dict[str, Any]:
    if not good.conditional:
        return {}
    told = {
        "description": "It is what the client has, by the `If-None-Match` of the request.",
        "headers": _headers(good.headers),
    }
    return {str(HTTPStatus.NOT_MODIFIED.value): told}


def errors_of(one: Operation) -> Iterator[type[RequestError]]:
    """All that the operation may answer instead of a success."""
    yield from one.errors
    if one.access in (Access.VIEWER, Access.ADMIN, Access.MONITOR):
        yield UnauthenticatedError
    if one.access is Access.ADMIN or one.method not in (hdrs.METH_GET, hdrs.METH_HEAD):
        yield UnauthorizedError
    if one.takes is not None:
        yield InvalidRequestBodyError
        yield RequestTimeoutError
        if one.takes.content is not None:
            yield RequestBodyTooLargeError
    yield ExpectationFailedError
    yield from (InternalError, StorageBusyError, StorageFailedError, InsufficientStorageError)


def _problem(errors: Sequence[type[RequestError]], schemas: _Schemas) -> dict[str, Any]:
    names = {"properties": {"type": {"enum": sorted(error.type for error in errors)}}}
    return {
        "description": " ".join(f"`{error.type}`: {meaning_of(error)}" for error in errors),
        "headers": _headers([_ERROR_HEADERS[e] for e in errors if e in _ERROR_HEADERS]),
        "content": {
            JSON: {"schema": {**schemas.of(Problem), "properties": {"error": names}}},
        },
    }


def _headers(fields: Sequence[Field]) -> dict[str, Any]:
    return {field.name: _field(field) for field in (*EVERYWHERE, *fields)}


def _link(link: Link) -> dict[str, Any]:
    told: dict[str, Any] = {"operationId": link.operation}
    if link.parameters:
        told["parameters"] = dict(link.parameters)
    if link.body:
        told["requestBody"] = dict(link.body)
    return told
