"""The page for operators at ``/``: files of the package, with nothing from other hosts.

Anyone may load it: it knows nothing of the appliance before its reader has logged in to the API.
Writes from other sites are refused by the API itself, and the session's cookie does not go with
them (``SameSite=Strict``).
"""

from importlib.resources import files

from aiohttp import hdrs, web

import spsd.web
from spsd.web.contract import Access, Answer, Handler, Operation

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_SCRIPTS = ("main.js", "api.js", "live.js", "words.js", "downloads.js", "slots.js")


def _serving(name: str, kind: str) -> Handler:
    # Read once, and not while somebody waits.
    content = files(spsd.web).joinpath("ui", name).read_bytes()

    async def serve(_: web.Request) -> web.Response:
        response = web.Response(body=content, content_type=kind, charset="utf-8")
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["Referrer-Policy"] = "no-referrer"
        # Asked for again each time: an upgrade of spsd changes all of them at once.
        response.headers[hdrs.CACHE_CONTROL] = "no-cache"
        return response

    return serve


def _file(operation: str, path: str, name: str, summary: str) -> Operation:
    kind = _KINDS[name[name.rindex(".") :]]
    return Operation(
        name=operation,
        method=hdrs.METH_GET,
        path=path,
        handler=_serving(name, kind),
        tag="Dashboard",
        summary=summary,
        access=Access.ANYONE,
        answer=Answer(None, meaning="For browsers.", media_type=kind),
    )


OPERATIONS = (
    _file("readDashboard", "/", "index.html", "The page for operators"),
    _file("getDashboardStyle", "/ui/style.css", "style.css", "Its style sheet"),
    *(
        _file(
            f"getDashboardScript{name[:-3].capitalize()}", f"/ui/{name}", name, "Part of its script"
        )
        for name in _SCRIPTS
    ),
)
