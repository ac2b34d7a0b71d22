"""Files for browsers: the dashboard at ``/``, and the API's description as JSON and as a page.

All of them are files of the package, and load nothing from other hosts. No log-in is needed: they
have no data of the appliance. The API itself refuses writes that come from other sites, and
browsers do not send the session's cookie with those (``SameSite=Strict``).

The page of the description is Swagger UI (docs/decisions/0031): the unchanged files of the npm
package ``swagger-ui-dist``, whose digests are in ``swagger/SHA256SUMS``, and a page of spsd that
starts it.
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
_MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_SCRIPTS = ("main.js", "api.js", "events.js", "format.js", "downloads.js", "slots.js")


async def openapi(request: web.Request) -> web.Response:
    """The OpenAPI document."""
    return web.Response(body=request.app[DOCUMENT], content_type=JSON)


def _file_handler(folder: str, name: str, media_type: str) -> Handler:
    # The file is read once, at import, so that no request waits for the disk.
    content = files(spsd.web).joinpath(folder, name).read_bytes()

    async def serve(_: web.Request) -> web.Response:
        response = web.Response(body=content, content_type=media_type, charset="utf-8")
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["Referrer-Policy"] = "no-referrer"
        # For browsers that do not know Content-Security-Policy level 2.
        response.headers["X-Frame-Options"] = "DENY"
        response.headers["X-XSS-Protection"] = "1; mode=block"
        # An upgrade of spsd changes all files at once: the browser must not mix old and new ones.
        response.headers[hdrs.CACHE_CONTROL] = "no-cache"
        return response

    return serve


def _file(name: str, path: str, file: str, summary: str, tag: str = "Dashboard") -> Operation:
    folder, _, file_name = file.partition("/")
    media_type = _MEDIA_TYPES[file_name[file_name.rindex(".") :]]
    return Operation(
        name=name,
        method=hdrs.METH_GET,
        path=path,
        handler=_file_handler(folder, file_name, media_type),
        tag=tag,
        summary=summary,
        access=Access.ANYONE,
        success=SuccessResponse(None, meaning="The file.", media_type=media_type),
    )


DESCRIPTION_OPERATIONS = (
    Operation(
        name="getDescription",
        method=hdrs.METH_GET,
        path=OPENAPI,
        handler=openapi,
        tag="Description",
        summary="Read the API description (OpenAPI 3.1)",
        access=Access.ANYONE,
        success=SuccessResponse(None, meaning="The OpenAPI document.", media_type=JSON),
    ),
    _file(
        "readDocs", DOCS, "swagger/index.html", "Read the API description as a page", "Description"
    ),
    *(
        _file(name, f"{DOCS}/{file}", f"swagger/{file}", summary, "Description")
        for name, file, summary in (
            ("getDocsStyle", "swagger-ui.css", "Load the style sheet of the page"),
            ("getDocsScript", "swagger-ui-bundle.js", "Load the script of the page, Swagger UI"),
            ("getDocsStart", "start.js", "Load the script that starts the page"),
        )
    ),
)
DASHBOARD_OPERATIONS = (
    _file("readDashboard", "/", "ui/index.html", "Open the dashboard"),
    _file(
        "getDashboardStyle",
        "/ui/style.css",
        "ui/style.css",
        "Load the style sheet of the dashboard",
    ),
    *(
        _file(
            f"getDashboardScript{name[:-3].capitalize()}",
            f"/ui/{name}",
            f"ui/{name}",
            "Load a script of the dashboard",
        )
        for name in _SCRIPTS
    ),
)
