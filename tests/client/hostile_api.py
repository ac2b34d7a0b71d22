"""A server of the API whose every text is chosen by an attacker of terminals."""

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

CONTROLS = (
    "\x1b]0;owned\x07\x1b[2J\x1b[5m\x9b5m\x85\x00\x08\x0b\x0c\x1c\x7f"
    "\u202egpj\u2066\u200b\u2028\u2029\ufeff\U000e0041"
)
MARKUP = "[red]plain[/red] [/x] [link=http://x.example]l[/link] :smile: [bold"
TEXT = f"1.0 {CONTROLS} {MARKUP}"
SHOWN = r"1.0 \x1b]0;owned\x07\x1b[2J\x1b[5m\x9b5m\x85\x00\x08\x0b\x0c\x1c\x7f"
KEY = "aaaaaaaa-\x1b[5m"


def download(text: str = TEXT, key: str = KEY) -> dict:
    body = {
        "status": "failed",
        "bytes_downloaded": 1,
        "bytes_total": 2,
        "url": f"http://x.example/{text}",
        "slot_id": text,
        "start_time": text,
        "error": text,
    }
    return {"key": key, "body": body}


def _json(value: object, status: int = 200) -> web.Response:
    return web.json_response(value, status=status)


async def _log_in(request: web.Request) -> web.Response:
    request.app[LOG_INS].append(request.headers["Authorization"])
    response = _json({})
    response.set_cookie("session_id", "a-token")
    return response


async def _downloads(request: web.Request) -> web.StreamResponse:
    more = [download(key=f"{number:08}") for number in range(request.app[MORE])]
    listed = {"items": [download(), *more]}
    if "text/event-stream" not in request.headers.get("Accept", ""):
        return _json(listed)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await response.write(f"event: snapshot\ndata: {json.dumps(listed)}\n\n".encode())
    return response


async def _download(_: web.Request) -> web.Response:
    return _json(download())


async def _history(_: web.Request) -> web.Response:
    names = ("time", "cause", "status", "attempt", "evidence")
    return _json({"body": {"history": [dict.fromkeys(names, TEXT)]}})


async def _slots(_: web.Request) -> web.Response:
    body = {"version": TEXT, "upgrade_notes": f"{TEXT}\nsecond line", "current": True}
    return _json({"items": [{"key": TEXT, "body": body}]})


async def _test(_: web.Request) -> web.Response:
    return _json({"body": {"test_summary": f"{TEXT}\nsecond line"}})


async def _accepted(_: web.Request) -> web.Response:
    return _json({"key": TEXT}, 202)


async def _refused(_: web.Request) -> web.Response:
    return _json({"error": {"type": TEXT, "message": TEXT}}, 409)


async def _info(_: web.Request) -> web.Response:
    return _json({"body": {"version": TEXT, TEXT: [TEXT]}})


LOG_INS = web.AppKey("LOG_INS", list)
MORE = web.AppKey("MORE", int)
ROUTES = [
    web.get("/api/authentication", _log_in),
    web.get("/api/firmware/fetch", _downloads),
    web.post("/api/firmware/fetch", _accepted),
    web.get("/api/firmware/fetch/{key}/history", _history),
    web.get("/api/firmware/fetch/{key}", _download),
    web.delete("/api/firmware/fetch/{key}", _refused),
    web.get("/api/firmware/slots", _slots),
    web.post("/api/firmware/test", _test),
    web.post("/api/firmware/upgrade", _refused),
    web.get("/api/info", _info),
]


@dataclass
class HostileApi:
    """``log_ins``: the Authorization fields that the server got."""

    port: int
    log_ins: list[str]
    tls: bool

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"


@asynccontextmanager
async def serve_hostile_api(
    context: ssl.SSLContext | None = None, port: int = 0, *, more: int = 0
) -> AsyncIterator[HostileApi]:
    """A server whose texts are :data:`TEXT`, with ``more`` downloads than one."""
    app = web.Application()
    app[LOG_INS] = []
    app[MORE] = more
    app.add_routes(ROUTES)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
        yield HostileApi(runner.addresses[0][1], app[LOG_INS], context is not None)
    finally:
        await runner.cleanup()
