"""What an operation of the API promises: the one table that serves requests and describes them.

Each resource's module has the rows of its own operations beside its handlers;
:mod:`spsd.web.routes` has all of them.
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
    """Who may call."""

    ANYONE = "anyone"
    EITHER = "anyone; a session shows more"
    MONITOR = "anyone on the appliance; else a token or a session"
    VIEWER = "viewer"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Field:
    """A header field or a parameter: its name, what it means, and its JSON Schema."""

    name: str
    meaning: str
    schema: Mapping[str, object] = field(default_factory=lambda: {"type": "string"})
    required: bool = False


@dataclass(frozen=True, slots=True)
class SuccessResponse:
    """A success; ``content`` is the type of the JSON document, or None for another media type."""

    content: type[msgspec.Struct] | None
    status: HTTPStatus = HTTPStatus.OK
    meaning: str = "Done."
    headers: Sequence[Field] = ()
    media_type: str = JSON
    also: Sequence[str] = ()
    """Other media types of the same, where ``Accept`` asks for them."""
    inside: Sequence[type[msgspec.Struct]] = ()
    """Types inside ``content`` that its annotations cannot name."""
    stream: str = ""
    """What an event stream of it tells; empty: there is none."""
    conditional: bool = False
    """Whether it may be 304 instead (RFC 9110, section 15.4.5)."""


@dataclass(frozen=True, slots=True)
class RequestBody:
    """A request's body: a JSON document of a type, or bytes of some media types."""

    content: type[msgspec.Struct] | None = None
    media_types: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Link:
    """An operation that takes something out of this one's answer (OpenAPI 3.1, Link Object)."""

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
    answer: SuccessResponse
    access: Access
    notes: str = ""
    takes: RequestBody | None = None
    query: Sequence[Field] = ()
    headers: Sequence[Field] = ()
    errors: Sequence[type[RequestError]] = ()
    """What it may answer beside what every operation with its access and body may."""
    links: Sequence[Link] = ()


class Contract:
    """All operations, and which of them a request asks for."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self.operations = operations
        self._found = {(one.method, one.path): one for one in operations}

    def asked(self, request: web.Request) -> Operation | None:
        """The operation behind the request's route; HEAD asks for GET. None: there is none."""
        resource = request.match_info.route.resource
        if resource is None:
            return None
        method = hdrs.METH_GET if request.method == hdrs.METH_HEAD else request.method
        return self._found.get((method, resource.canonical))


CONTRACT = web.AppKey("contract", Contract)
