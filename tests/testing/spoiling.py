"""A server that is right in all but one thing: a proxy on a real wire that spoils its answers."""

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
    """A request that has come, and the answer that is about to go."""

    method: str
    path: str
    asked: dict[str, str]
    content: bytes
    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    answer: bytes = b""


Change = Callable[[Exchange], None]


@dataclass(frozen=True)
class Spoil:
    """Changes of the answers to one method at paths that match a pattern."""

    method: str
    pattern: str
    changes: tuple[Change, ...]
    request: Change | None = None

    def meets(self, exchange: Exchange) -> bool:
        return exchange.method == self.method and bool(
            re.fullmatch(self.pattern, exchange.path.partition("?")[0])
        )


def spoil(method: str, pattern: str, *changes: Change) -> Spoil:
    return Spoil(method, pattern, changes)


def asking(method: str, pattern: str, change: Change) -> Spoil:
    """The request is spoiled, not the answer."""
    return Spoil(method, pattern, (), change)


def status(code: int) -> Change:
    def change(exchange: Exchange) -> None:
        exchange.status = code

    return change


def header(name: str, value: str | None) -> Change:
    """Set the header field, or take it out."""

    def change(exchange: Exchange) -> None:
        exchange.headers = [one for one in exchange.headers if one[0].lower() != name.lower()]
        if value is not None:
            exchange.headers.append((name, value))

    return change


def cookie(old: str, new: str) -> Change:
    """Edit Set-Cookie."""

    def change(exchange: Exchange) -> None:
        exchange.headers = [
            (name, re.sub(old, new, value) if name.lower() == "set-cookie" else value)
            for name, value in exchange.headers
        ]

    return change


def content(text: str) -> Change:
    def change(exchange: Exchange) -> None:
        exchange.answer = text.encode()

    return change


def replaced(old: str, new: str) -> Change:
    def change(exchange: Exchange) -> None:
        exchange.answer = exchange.answer.replace(old.encode(), new.encode())

    return change


def request_replaced(old: str, new: str) -> Change:
    def change(exchange: Exchange) -> None:
        exchange.content = exchange.content.replace(old.encode(), new.encode())

    return change


def put(path: str, value: object) -> Change:
    """Set a member such as ``items.*.body.info``, whether it was there or not."""

    def edit(holder: Any, name: Any) -> None:
        if isinstance(holder, dict) or (isinstance(holder, list) and name < len(holder)):
            holder[name] = value

    return _edited(path, edit)


def drop(path: str) -> Change:
    """Take a member out."""

    def edit(holder: Any, name: Any) -> None:
        if isinstance(holder, dict):
            holder.pop(name, None)
        elif name < len(holder):
            del holder[name]

    return _edited(path, edit)


def _edited(path: str, edit: Callable[[Any, Any], None]) -> Change:
    def change(exchange: Exchange) -> None:
        try:
            document = json.loads(exchange.answer)
        except ValueError:
            return
        _walk(document, path.split("."), edit)
        exchange.answer = json.dumps(document).encode()

    return change


def _walk(value: Any, names: list[str], edit: Callable[[Any, Any], None]) -> None:
    name, rest = names[0], names[1:]
    if name == "*":
        for one in value if isinstance(value, list) else []:
            _walk(one, rest, edit)
    elif not rest:
        if isinstance(value, dict | list):
            edit(value, int(name) if isinstance(value, list) else name)
    elif isinstance(value, dict) and name in value:
        _walk(value[name], rest, edit)
    elif isinstance(value, list) and int(name) < len(value):
        _walk(value[int(name)], rest, edit)


class Proxy:
    """Passes requests on to the server at ``url``, and spoils what meets ``spoils``.

    Without a server it answers everything with ``fixed``: a status and a content.
    """

    def __init__(self, url: str | None = None, *, fixed: tuple[int, bytes] = (500, b"{}")) -> None:
        self.server = url and urlsplit(url).netloc
        self.fixed = fixed
        self.spoils: tuple[Spoil, ...] = ()
        self.url = ""

    def answer(self, exchange: Exchange) -> None:
        for one in self.spoils:
            if one.request is not None and one.meets(exchange):
                one.request(exchange)
        if self.server is None:
            exchange.status, exchange.answer = self.fixed
            exchange.headers = [("Content-Type", "application/json")]
            return
        connection = http.client.HTTPConnection(self.server, timeout=30)
        try:
            connection.request(
                exchange.method,
                exchange.path,
                body=exchange.content or None,
                headers=exchange.asked,
            )
            response = connection.getresponse()
            exchange.status, exchange.answer = response.status, response.read()
            skipped = ("content-length", "connection", "transfer-encoding")
            exchange.headers = [
                one for one in response.getheaders() if one[0].lower() not in skipped
            ]
        finally:
            connection.close()
        for one in self.spoils:
            if one.meets(exchange):
                for change in one.changes:
                    change(exchange)


@contextmanager
def proxied(proxy: Proxy) -> Iterator[Proxy]:
    """Serve it on a free port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            passed = {
                name: value
                for name, value in self.headers.items()
                if name.lower() not in ("content-length", "host", "connection")
            }
            exchange = Exchange(self.command, self.path, passed, self.rfile.read(length))
            proxy.answer(exchange)
            self.send_response_only(exchange.status)
            for name, value in exchange.headers:
                self.send_header(name, value)
            if exchange.status != 204:
                self.send_header("Content-Length", str(len(exchange.answer)))
            self.end_headers()
            if exchange.status != 204:
                self.wfile.write(exchange.answer)

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
