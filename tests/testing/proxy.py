"""A proxy that alters single responses of a server, over real connections.

A server behind it is right except for one thing.
"""

import http.client
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


@dataclass
class Exchange:
    """A received request, and the response that the proxy will send."""

    method: str
    path: str
    request_headers: dict[str, str]
    request_content: bytes
    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    response_content: bytes = b""


Change = Callable[[Exchange], None]


@dataclass(frozen=True)
class Alteration:
    """Changes of the responses to one method at paths that match a pattern."""

    method: str
    pattern: str
    changes: tuple[Change, ...]
    request: Change | None = None

    def matches(self, exchange: Exchange) -> bool:
        return exchange.method == self.method and bool(
            re.fullmatch(self.pattern, exchange.path.partition("?")[0])
        )


def alter(method: str, pattern: str, *changes: Change) -> Alteration:
    return Alteration(method, pattern, changes)


def alter_request(method: str, pattern: str, change: Change) -> Alteration:
    """Change the request instead of the response."""
    return Alteration(method, pattern, (), change)


def status(code: int) -> Change:
    def change(exchange: Exchange) -> None:
        exchange.status = code

    return change


def header(name: str, value: str | None) -> Change:
    """Set the header field of the response; None removes it."""

    def change(exchange: Exchange) -> None:
        exchange.headers = [
            (other, text) for other, text in exchange.headers if other.lower() != name.lower()
        ]
        if value is not None:
            exchange.headers.append((name, value))

    return change


def cookie(old: str, new: str) -> Change:
    """Replace the pattern `old` in Set-Cookie."""

    def change(exchange: Exchange) -> None:
        exchange.headers = [
            (name, re.sub(old, new, value) if name.lower() == "set-cookie" else value)
            for name, value in exchange.headers
        ]

    return change


def content(text: str) -> Change:
    def change(exchange: Exchange) -> None:
        exchange.response_content = text.encode()

    return change


def replaced(old: str, new: str) -> Change:
    def change(exchange: Exchange) -> None:
        exchange.response_content = exchange.response_content.replace(old.encode(), new.encode())

    return change


def request_replaced(old: str, new: str) -> Change:
    def change(exchange: Exchange) -> None:
        exchange.request_content = exchange.request_content.replace(old.encode(), new.encode())

    return change


def put(path: str, value: object) -> Change:
    """Set a member such as ``items.*.body.info``; `*` stands for each item of a list."""

    def edit(holder: Any, name: Any) -> None:
        if isinstance(holder, dict) or (isinstance(holder, list) and name < len(holder)):
            holder[name] = value

    return _edited(path, edit)


def drop(path: str) -> Change:
    """Remove a member."""

    def edit(holder: Any, name: Any) -> None:
        if isinstance(holder, dict):
            holder.pop(name, None)
        elif name < len(holder):
            del holder[name]

    return _edited(path, edit)


def _edited(path: str, edit: Callable[[Any, Any], None]) -> Change:
    def change(exchange: Exchange) -> None:
        try:
            document = json.loads(exchange.response_content)
        except ValueError:
            return
        _walk(document, path.split("."), edit)
        exchange.response_content = json.dumps(document).encode()

    return change


def _walk(value: Any, names: list[str], edit: Callable[[Any, Any], None]) -> None:
    name, rest = names[0], names[1:]
    if name == "*":
        for item in value if isinstance(value, list) else []:
            _walk(item, rest, edit)
    elif not rest:
        if isinstance(value, dict | list):
            edit(value, int(name) if isinstance(value, list) else name)
    elif isinstance(value, dict) and name in value:
        _walk(value[name], rest, edit)
    elif isinstance(value, list) and int(name) < len(value):
        _walk(value[int(name)], rest, edit)


class Proxy:
    """Forwards requests to the server at ``url`` and applies the matching ``alterations``.

    Without a server it responds to each request with ``fixed``: a status and a body.
    """

    def __init__(self, url: str | None = None, *, fixed: tuple[int, bytes] = (500, b"{}")) -> None:
        self.server = url and urlsplit(url).netloc
        self.fixed = fixed
        self.alterations: tuple[Alteration, ...] = ()
        self.url = ""

    def respond(self, exchange: Exchange) -> None:
        """Fill in the response."""
        for alteration in self.alterations:
            if alteration.request is not None and alteration.matches(exchange):
                alteration.request(exchange)
        if self.server is None:
            exchange.status, exchange.response_content = self.fixed
            exchange.headers = [("Content-Type", "application/json")]
            return
        connection = http.client.HTTPConnection(self.server, timeout=30)
        try:
            connection.request(
                exchange.method,
                exchange.path,
                body=exchange.request_content or None,
                headers=exchange.request_headers,
            )
            response = connection.getresponse()
            exchange.status, exchange.response_content = response.status, response.read()
            skipped = ("content-length", "connection", "transfer-encoding")
            exchange.headers = [
                (name, value)
                for name, value in response.getheaders()
                if name.lower() not in skipped
            ]
        finally:
            connection.close()
        for alteration in self.alterations:
            if alteration.matches(exchange):
                for change in alteration.changes:
                    change(exchange)


@contextmanager
def serve_proxy(proxy: Proxy) -> Iterator[Proxy]:
    """Serve the proxy on a free port of 127.0.0.1, and set its ``url``."""

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            forwarded = {
                name: value
                for name, value in self.headers.items()
                if name.lower() not in ("content-length", "host", "connection")
            }
            exchange = Exchange(self.command, self.path, forwarded, self.rfile.read(length))
            proxy.respond(exchange)
            self.send_response_only(exchange.status)
            for name, value in exchange.headers:
                self.send_header(name, value)
            if exchange.status != 204:
                self.send_header("Content-Length", str(len(exchange.response_content)))
            self.end_headers()
            if exchange.status != 204:
                self.wfile.write(exchange.response_content)

        do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    proxy.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
