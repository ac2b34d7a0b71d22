"""A server of the documented API alone: a daemon without the extensions of spsd."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import ClientSession, DummyCookieJar, hdrs, web

_REMOVED_HEADERS = {hdrs.ETAG, hdrs.LINK, hdrs.TRANSFER_ENCODING, hdrs.CONTENT_LENGTH, hdrs.DATE}


@asynccontextmanager
async def serve_documented_api(daemon_url: str) -> AsyncIterator[str]:
    """The URL of a proxy to the daemon, without events, waits, histories and log-outs."""
    async with ClientSession(cookie_jar=DummyCookieJar(), auto_decompress=False) as session:

        async def forward(request: web.Request) -> web.Response:
            if request.path.endswith("/history"):
                raise web.HTTPNotFound
            if request.method == hdrs.METH_DELETE and request.path == "/api/authentication":
                raise web.HTTPMethodNotAllowed("DELETE", ["GET"])
            headers = {
                name: value
                for name, value in request.headers.items()
                if name not in (hdrs.HOST, hdrs.ACCEPT, hdrs.IF_NONE_MATCH, hdrs.EXPECT)
            }
            async with session.request(
                request.method,
                daemon_url + request.path,
                headers=headers,
                data=await request.read(),
            ) as response:
                return web.Response(
                    status=response.status,
                    body=await response.read(),
                    headers=[
                        (name, value)
                        for name, value in response.headers.items()
                        if name not in _REMOVED_HEADERS
                    ],
                )

        app = web.Application(client_max_size=2**30)
        app.router.add_route("*", "/{path:.*}", forward)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port = runner.addresses[0][1]
            yield f"http://127.0.0.1:{port}"
        finally:
            await runner.cleanup()
