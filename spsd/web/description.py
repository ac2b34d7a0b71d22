"""The API's description of itself: for programs, and as a page for people.

Anyone may read it: it tells of spsd, and nothing of the appliance.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import hdrs, web

from spsd.web.contract import JSON, Access, Answer, Handler, Operation
from spsd.web.docs import style
from spsd.web.links import DOCS, OPENAPI, STYLE


@dataclass(frozen=True, slots=True)
class Page:
    """The page for people; rendering takes as long as all the rest of a start."""

    render: Callable[[], bytes]


DOCUMENT = web.AppKey("document", bytes)
PAGE = web.AppKey("page", Page)


# Nothing but the style sheet is loaded, and nothing runs.
_POLICY = (
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


async def openapi(request: web.Request) -> web.Response:
    """The OpenAPI document."""
    return web.Response(body=request.app[DOCUMENT], content_type=JSON)


async def docs(request: web.Request) -> web.Response:
    """The document as a page, rendered when somebody first asks for it."""
    return _file(await asyncio.to_thread(request.app[PAGE].render), "text/html")


async def docs_style(_: web.Request) -> web.Response:
    """The page's style sheet."""
    return _file(style(), "text/css")


def _file(body: bytes, media_type: str) -> web.Response:
    response = web.Response(body=body, content_type=media_type, charset="utf-8")
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _page(name: str, path: str, handler: Handler, summary: str, media_type: str) -> Operation:
    return Operation(
        name=name,
        method=hdrs.METH_GET,
        path=path,
        handler=handler,
        tag="Description",
        summary=summary,
        access=Access.ANYONE,
        answer=Answer(None, meaning="For browsers.", media_type=media_type),
    )


OPERATIONS = (
    Operation(
        name="getDescription",
        method=hdrs.METH_GET,
        path=OPENAPI,
        handler=openapi,
        tag="Description",
        summary="Read this description as OpenAPI 3.1",
        access=Access.ANYONE,
        answer=Answer(None, meaning="An OpenAPI document.", media_type=JSON),
    ),
    _page("readDocs", DOCS, docs, "Read this description as a page", "text/html"),
    _page("getDocsStyle", STYLE, docs_style, "The page's style sheet", "text/css"),
)
