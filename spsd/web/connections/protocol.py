"""The HTTP protocol of a connection: what aiohttp refuses by itself has the one shape of errors.

aiohttp answers a head that it cannot read in plain text and as HTTP/1.0, and logs a traceback; the
same holds for what fails outside the middlewares. :func:`protocols` replaces these answers.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import cast

from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import (
    BadHttpMessage,
    BadHttpMethod,
    BadStatusLine,
    HttpProcessingError,
    InvalidHeader,
    InvalidURLError,
    LineTooLong,
)
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import ERROR

from spsd.errors import (
    InternalError,
    MalformedRequestError,
    RequestError,
    RequestHeaderFieldsTooLargeError,
    UriTooLongError,
)
from spsd.web.connections.connection import Connection
from spsd.web.middleware.problems import refused, refused_by_aiohttp
from spsd.web.responses import set_fields

TARGET_LIMIT = 8192
"""Longest target of a request, in bytes; RFC 9112 section 3 recommends 8000 or more."""
FIELD_LIMIT = 8190
"""Longest name or value of a header field. It differs from :data:`TARGET_LIMIT` because only the
exceeded limit shows which of the two was too long."""


class Protocol(web.RequestHandler):
    """The server's side of one connection."""

    __slots__ = ("_client_gone",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is open."""
        self._client_gone = asyncio.Event()
        super().connection_made(transport)

    def eof_received(self) -> None:
        """The client has closed its direction."""
        self._client_gone.set()
        super().eof_received()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is closed."""
        self._client_gone.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass the bytes on; a body that cannot be read further fails at once.

        aiohttp would let its handler wait for the rest, and notice the fault only afterwards.
        """
        queued = len(self._messages)
        super().data_received(data)
        if len(self._messages) > queued and not _is_request(self._messages[-1][0]):
            bodies = [payload for _, payload in self._messages]
            if self._current_request is not None:
                bodies.append(self._current_request.content)
            for body in bodies:
                if not body.is_eof():
                    body.set_exception(web.RequestPayloadError("its chunks are malformed"))

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the response; after a malformed head, drop what the client still sends."""
        connection = None if self.transport is None else self.transport.get_protocol()
        if isinstance(connection, Connection) and connection.ended:
            # It has refused the same head, for its size.
            await self._client_gone.wait()
            return resp, True
        finished = await super().finish_response(request, resp, start_time)
        if isinstance(resp, _LastResponse) and isinstance(connection, Connection):
            self.close()
            connection.linger()
            await self._client_gone.wait()
        return finished

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The response to a head that cannot be read, or to an error outside the middlewares.

        A malformed head is the client's fault, and is not logged: a client could fill the disk.
        """
        del status, message
        if request.writer.output_size > 0:
            raise ConnectionError("the head of a response was sent already")
        if isinstance(exc, HttpProcessingError):
            return _refused_head(request, head_error(exc))
        self.log_exception("%s %s failed", request.method, request.path, exc_info=exc)
        return _refused_head(request, InternalError("A bug in spsd; its log has the cause."))


_OTHER_VERSION = web.RequestKey("other_version", bool)


class _LastResponse(web.Response):
    """A response after which nothing that the client sends is read."""


def _refused_head(request: web.BaseRequest, error: RequestError) -> _LastResponse:
    problem = refused(cast(web.Request, request), error)
    response = _LastResponse(body=problem.body, status=problem.status, headers=problem.headers)
    set_fields(response, allow="")
    response.force_close()
    return response


def _is_request(message: object) -> bool:
    """Whether it is the head of a request, and not the record of a fault (which has ``exc``)."""
    return not hasattr(message, "exc")


def head_error(error: HttpProcessingError) -> RequestError:
    """What the client is told of a head that aiohttp could not read.

    The sentence has nothing of the bytes of the request, which the text of ``error`` may quote.
    """
    match error:
        case LineTooLong(args=(_, limit, *_)) if limit == TARGET_LIMIT:
            return UriTooLongError(f"The target is longer than {TARGET_LIMIT} bytes.")
        case LineTooLong():
            return RequestHeaderFieldsTooLargeError(
                f"A header field is longer than {FIELD_LIMIT} bytes."
            )
        case BadHttpMessage(message=text) if text.startswith("Too many headers"):
            return RequestHeaderFieldsTooLargeError("The request has too many header fields.")
        case InvalidHeader():
            why = "a header field is invalid"
        case InvalidURLError():
            why = "its target is invalid"
        case BadHttpMethod():
            why = "its method is unknown"
        case BadStatusLine():
            why = "its first line is invalid"
        case _:
            why = "its head or the framing of its body is invalid"
    return MalformedRequestError(f"The request is not valid HTTP/1.1: {why}.")


def protocols(
    server: web.Server, *, lingering_s: float, logger: logging.Logger
) -> Callable[[], web.RequestHandler]:
    """A factory of the protocols of ``server``, one for each connection.

    ``lingering_s``: for so long the rest of a body is read and dropped after an early response.
    """
    loop = asyncio.get_running_loop()
    handle, make_request = server.request_handler, server.request_factory

    async def handle_all(request: web.BaseRequest) -> web.StreamResponse:
        if request.get(_OTHER_VERSION):
            return _refused_head(
                request, MalformedRequestError("The request is not HTTP/1.1 or HTTP/1.0.")
            )
        try:
            return await handle(request)
        except web.HTTPException as error:  # raised before the middlewares
            response = refused_by_aiohttp(cast(web.Request, request), error)
            set_fields(response, allow="")
            return response

    def make_any_request(
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: web.RequestHandler,
        writer: AbstractStreamWriter,
        task: "asyncio.Task[None]",
    ) -> web.BaseRequest:
        # aiohttp answers with the version of the request, which may be 0.9 or 2.0; its stand-in for
        # a head that could not be read has 1.0. RFC 9110 section 2.5: a response has the highest
        # version that the server conforms to.
        is_other = message.version not in (HttpVersion10, HttpVersion11)
        if is_other or message is ERROR:
            message = message._replace(version=HttpVersion11)
        request = make_request(message, payload, protocol, writer, task)
        request[_OTHER_VERSION] = is_other
        return request

    server.request_handler, server.request_factory = handle_all, make_any_request
    return lambda: Protocol(
        server,
        loop=loop,
        access_log=None,  # type: ignore[arg-type] # aiohttp's own default for "none" is untyped
        auto_decompress=False,
        lingering_time=lingering_s,
        logger=logger,
        max_line_size=TARGET_LIMIT,
        max_field_size=FIELD_LIMIT,
    )
