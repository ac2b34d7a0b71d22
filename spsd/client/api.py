"""HTTP requests to one host, and the parser of its event streams."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec
from aiohttp import ClientResponse, ClientSession, ClientTimeout, StreamReader
from aiohttp.http_exceptions import LineTooLong

from spsd.client.errors import ApiError, CommandError, Exit
from spsd.client.hosts import Host
from spsd.client.trust import (
    format_fingerprint,
    no_longer_verified,
    not_the_pinned_one,
    tls_verification,
)


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event; ``data`` is its data lines, joined by line feeds."""

    kind: str
    data: str
    id: str


async def parse_events(stream: StreamReader) -> AsyncIterator[Event]:
    """The events of a ``text/event-stream`` body, until it ends.

    Comments, unknown fields and an incomplete event at the end are ignored.

    Raises:
        CommandError: the body breaks off, or has a line of more than 64 MiB.
    """
    kind, last_id = "message", ""
    data: list[str] = []
    while line := await _read_line(stream):
        name, _, value = line.decode(errors="replace").rstrip("\r\n").partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                kind = value
            case "data":
                data.append(value)
            case "id":
                last_id = value
            case "" if not line.strip() and data:
                yield Event(kind, "\n".join(data), last_id)
                kind, data = "message", []
            case _:
                pass


async def _read_line(stream: StreamReader) -> bytes:
    try:
        # A list of all downloads is one line; aiohttp's own limit is that of a header field.
        return await stream.readline(max_line_length=_LINE_LIMIT)
    except (LineTooLong, RuntimeError) as error:  # RuntimeError: aiohttp's for a closed connection
        raise CommandError(f"the event stream broke off: {error}", Exit.UNREACHABLE) from error


Document = dict[str, Any]
"""A JSON object from the API. docs/api.md describes the members; a server may add others."""
COOKIE = "session_id"
FETCH = "/api/firmware/fetch"
SLOTS = "/api/firmware/slots"
_CONNECT_TIMEOUT_S = 30
_LINE_LIMIT = 64 * 1024 * 1024
_READ_TIMEOUT_S = 90
"""Longer than the longest wait for a change that the API accepts."""


class Api:
    """The API of one host, with the stored session of that host."""

    def __init__(self, host: Host, session: ClientSession) -> None:
        self.host = host
        self._session = session

    async def get(self, path: str, **query: str) -> Document:
        """The document at ``path``; raises the errors of :meth:`request`."""
        return await self.request("GET", path, params=query)

    async def request(self, method: str, path: str, **options: Any) -> Document:  # noqa: ANN401 - aiohttp's
        """Send one request and return the JSON object of its response.

        ``options`` are those of :meth:`aiohttp.ClientSession.request`.

        Raises:
            ApiError: the response has an error status.
            CommandError: the server cannot be reached, its certificate does not verify or is not
                the pinned one, or the response is no JSON object.
        """
        async with self.open_response(method, path, **options) as response:
            return _decode_document(await response.read(), response)

    @asynccontextmanager
    async def open_response(
        self,
        method: str,
        path: str,
        **options: Any,  # noqa: ANN401 - aiohttp's
    ) -> AsyncIterator[ClientResponse]:
        """A successful response, its body not read yet; raises the errors of :meth:`request`.

        Errors of the connection while the body is read inside the context are included.
        """
        try:
            async with self._session.request(method, self.host.url + path, **options) as response:
                if not response.ok:
                    raise _api_error(response, await response.read())
                yield response
        except aiohttp.ServerFingerprintMismatch as error:
            shown = format_fingerprint(error.got.hex())
            raise CommandError(not_the_pinned_one(self.host, shown), Exit.NOT_TRUSTED) from error
        except aiohttp.ClientConnectorCertificateError as error:
            reason = str(error.certificate_error)
            raise CommandError(
                no_longer_verified(self.host, reason)
                if self.host.verified
                else f"the certificate of {self.host.url} does not verify: {reason}",
                Exit.NOT_TRUSTED,
            ) from error
        except msgspec.MsgspecError as error:
            raise CommandError(
                f"{self.host.url} did not return what this API returns: {error}", Exit.UNREACHABLE
            ) from error
        except (aiohttp.ClientError, OSError, UnicodeError) as error:
            # UnicodeError: IDNA cannot encode the name of the host.
            reason = str(error) or type(error).__name__
            raise CommandError(
                f"{self.host.url} cannot be reached: {reason}", Exit.UNREACHABLE
            ) from error


@asynccontextmanager
async def open_api(host: Host) -> AsyncIterator[Api]:
    """The API of ``host``; its connections are closed with the context.

    Raises:
        CommandError: the CA file of the host cannot be used.
    """
    # In a header: aiohttp's cookie jar does not send cookies to IP addresses by default.
    headers = None if host.token is None else {"Cookie": f"{COOKIE}={host.token}"}
    async with ClientSession(
        connector=aiohttp.TCPConnector(ssl=tls_verification(host)),
        headers=headers,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=ClientTimeout(
            total=None, sock_connect=_CONNECT_TIMEOUT_S, sock_read=_READ_TIMEOUT_S
        ),
        trust_env=True,
    ) as session:
        yield Api(host, session)


def _decode_document(body: bytes, response: ClientResponse) -> Document:
    try:
        return msgspec.json.decode(body, type=Document)
    except msgspec.MsgspecError as error:
        raise CommandError(
            f"{response.url} did not return a JSON object; check the URL of the host",
            Exit.UNREACHABLE,
        ) from error


def _api_error(response: ClientResponse, body: bytes) -> ApiError:
    try:
        error: Mapping[str, Any] = msgspec.json.decode(body)["error"]
        kind, message = str(error["type"]), str(error["message"])
        details = error.get("details") or {}
    except (msgspec.MsgspecError, KeyError, TypeError):
        kind, message, details = "no JSON", f"{response.method} {response.url.path} failed", {}
    return ApiError(response.status, kind, message, details)
