"""The contract of the API: one table of operations, which both serves requests and describes them.

The module of each resource has its own operations beside its handlers; :mod:`spsd.web.routes` has
all of them. The texts here (summaries, notes, meanings) are published in the OpenAPI document.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus

import msgspec
from aiohttp import hdrs, web

from spsd.errors import RequestError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

JSON = "application/json"
EVENT_STREAM = "text/event-stream"
SCHEMA_REF = "#/components/schemas/{name}"


class Access(StrEnum):
    """Which clients may use an operation."""

    ANYONE = "anyone"
    OPTIONAL_SESSION = "anyone; a session shows more"
    MONITOR = "anyone on the appliance; else a token or a session"
    VIEWER = "viewer"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Field:
    """A header field or a query parameter: its name, its meaning and its JSON Schema."""

    name: str
    meaning: str
    schema: Mapping[str, object] = field(default_factory=lambda: {"type": "string"})
    required: bool = False


@dataclass(frozen=True, slots=True)
class SuccessResponse:
    """A success; ``content`` is the type of its JSON document, None for another media type."""

    content: type[msgspec.Struct] | None
    status: HTTPStatus = HTTPStatus.OK
    meaning: str = "Done."
    headers: Sequence[Field] = ()
    media_type: str = JSON
    other_media_types: Sequence[str] = ()
    """Media types that the client may choose instead with ``Accept``."""
    nested: Sequence[type[msgspec.Struct]] = ()
    """Types within ``content`` that its annotations cannot name."""
    stream: str = ""
    """The events of its event stream; empty if it has none."""
    conditional: bool = False
    """Whether the response may be 304 instead (RFC 9110 section 15.4.5)."""


@dataclass(frozen=True, slots=True)
class RequestBody:
    """A request body: a JSON document of the type ``content``, or bytes of ``media_types``.

    ``media_types`` has a JSON Schema for each media type.
    """

    content: type[msgspec.Struct] | None = None
    media_types: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Link:
    """An operation that uses a value of this response (OpenAPI 3.1, Link Object)."""

    operation: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method on one path."""

    name: str
    method: str
    path: str
    handler: Handler
    tag: str
    summary: str
    success: SuccessResponse
    access: Access
    notes: str = ""
    request_body: RequestBody | None = None
    query: Sequence[Field] = ()
    headers: Sequence[Field] = ()
    errors: Sequence[type[RequestError]] = ()
    """Its own errors; those of its access and body are added by :mod:`spsd.web.openapi`."""
    links: Sequence[Link] = ()


class Contract:
    """All operations; finds the one that serves a request."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self.operations = operations
        self._by_route = {(operation.method, operation.path): operation for operation in operations}

    def operation_for(self, request: web.Request) -> Operation | None:
        """The operation that serves the request; None if its path or method has none.

        HEAD is served by the operation of GET (RFC 9110 section 9.3.2).
        """
        resource = request.match_info.route.resource
        if resource is None:
            return None
        method = hdrs.METH_GET if request.method == hdrs.METH_HEAD else request.method
        return self._by_route.get((method, resource.canonical))


CONTRACT = web.AppKey("contract", Contract)
