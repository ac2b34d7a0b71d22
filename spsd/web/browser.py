"""What browsers load: the dashboard at ``/``, and the API's description, also as a page.

All of it are files of the package, with nothing from other hosts. Anyone may load it: it says
nothing about the appliance before a log-in. Writes from other sites are refused by the API itself,
and the session's cookie does not go with them (``SameSite=Strict``).

The page of the description is Swagger UI (docs/decisions/0031): the files of ``swagger-ui-dist`` as
npm has them, whose digests are in ``swagger/SHA256SUMS``, and a page of ours that starts it.
"""

from importlib.resources import files

from aiohttp import hdrs, web

import spsd.web
from spsd.web.contract import JSON, Access, Handler, Operation, SuccessResponse
from spsd.web.links import DOCS, OPENAPI

DOCUMENT = web.AppKey("document", bytes)

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_SCRIPTS = ("main.js", "api.js", "events.js", "format.js", "downloads.js", "slots.js")


async def openapi(request: web.Request) -> web.Response:
    """The OpenAPI document."""
    return web.Response(body=request.app[DOCUMENT], content_type=JSON)


def _serving(folder: str, name: str, kind: str) -> Handler:
    # Read once, when spsd is imported, and not while a client waits.
    content = files(spsd.web).joinpath(folder, name).read_bytes()

    async def serve(_: web.Request) -> web.Response:
        response = web.Response(body=content, content_type=kind, charset="utf-8")
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["Referrer-Policy"] = "no-referrer"
        # Requested again each time: an upgrade of spsd changes all of them at once.
        response.headers[hdrs.CACHE_CONTROL] = "no-cache"
        return response

    return serve


def _file(operation: str, path: str, file: str, summary: str, tag: str = "Dashboard") -> Operation:
    folder, _, name = file.partition("/")
    kind = _KINDS[name[name.rindex(".") :]]
    return Operation(
        name=operation,
        method=hdrs.METH_GET,
        path=path,
        handler=_serving(folder, name, kind),
        tag=tag,
        summary=summary,
        access=Access.ANYONE,
        answer=SuccessResponse(None, meaning="For browsers.", media_type=kind),
    )


DESCRIPTION_OPERATIONS = (
    Operation(
        name="getDescription",
        method=hdrs.METH_GET,
        path=OPENAPI,
        handler=openapi,
        tag="Description",
        summary="Read this description as OpenAPI 3.1",
        access=Access.ANYONE,
        answer=SuccessResponse(None, meaning="An OpenAPI document.", media_type=JSON),
    ),
    _file("readDocs", DOCS, "swagger/index.html", "Read this description as a page", "Description"),
    *(
        _file(name, f"{DOCS}/{file}", f"swagger/{file}", summary, "Description")
        for name, file, summary in (
            ("getDocsStyle", "swagger-ui.css", "The page's style sheet"),
            ("getDocsScript", "swagger-ui-bundle.js", "The page's script, which is Swagger UI"),
            ("getDocsStart", "start.js", "How the page is started"),
        )
    ),
)
DASHBOARD_OPERATIONS = (
    _file("readDashboard", "/", "ui/index.html", "The page for operators"),
    _file("getDashboardStyle", "/ui/style.css", "ui/style.css", "Its style sheet"),
    *(
        _file(
            f"getDashboardScript{name[:-3].capitalize()}",
            f"/ui/{name}",
            f"ui/{name}",
            "Part of its script",
        )
        for name in _SCRIPTS
    ),
)
