"""The connection of a request: the middleware that marks it, and what a handler may know of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from aiohttp import web
from aiohttp.typedefs import Handler

from spsd.web.connections.connection import Connection
from spsd.web.connections.unsent import SLICE, SlicedBody

CONNECTION = web.RequestKey("connection", Connection)


@contextmanager
def when_lost(request: web.Request, callback: Callable[[], object]) -> Iterator[None]:
    """Within the context: call ``callback`` when the connection of the request is lost.

    aiohttp does not report this to a handler that only waits.
    """
    connection = request.get(CONNECTION)
    with nullcontext() if connection is None else connection.when_lost(callback):
        yield


@web.middleware
async def track_request(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Mark the connection while the handler runs: the client is not idle then.

    A long response body is sent in slices.
    """
    transport = request.transport
    connection = None if transport is None else transport.get_protocol()
    if not isinstance(connection, Connection):  # a server of a test, without limits
        return await handler(request)
    request[CONNECTION] = connection
    chunked = request.body_exists and request.content_length is None
    connection.handler_started(None if chunked else request.content_length or 0)
    try:
        response = await handler(request)
    finally:
        connection.handler_ended(body_reader=None if request.content.is_eof() else request.task)
    if chunked:
        # Where the next head begins is known to aiohttp's parser alone.
        response.force_close()
    body = response.body if isinstance(response, web.Response) else None
    if isinstance(response, web.Response) and isinstance(body, bytes) and len(body) > SLICE:
        response.body = SlicedBody(body, connection.sending)
    return response
