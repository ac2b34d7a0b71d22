"""``Expect: 100-continue`` (RFC 9110, section 10.1.1): answered when the body is wanted.

A refusal then comes before the client has sent its bytes.
"""

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.typedefs import Handler

from spsd.errors import ExpectationFailedError

_CONTINUE = "100-continue"


async def later(_: web.Request) -> None:
    """A route's ``expect_handler``: nothing is promised before the request has been looked at."""


@web.middleware
async def expectation(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what nobody can meet.

    Raises:
        ExpectationFailedError: another expectation than 100-continue.
    """
    asked = _expected(request)
    if asked is not None and asked.lower() != _CONTINUE:
        raise ExpectationFailedError(f"The expectation {asked!r} cannot be met, only {_CONTINUE}.")
    return await handler(request)


async def close_unless_read(request: web.Request, response: web.StreamResponse) -> None:
    """After an answer that did not wait for the whole body nothing else can be read."""
    if not request.content.is_eof():
        response.headers[hdrs.CONNECTION] = "close"
        response.force_close()


async def go_ahead(request: web.Request) -> None:
    """The body is wanted: say so, if the client waits to hear it."""
    if _expected(request) is not None:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # What aiohttp counts is the answer's own length.
        request.writer.output_size = 0


def _expected(request: web.Request) -> str | None:
    # An HTTP/1.0 client cannot wait for what its protocol does not have.
    return request.headers.get(hdrs.EXPECT) if request.version >= HttpVersion11 else None
