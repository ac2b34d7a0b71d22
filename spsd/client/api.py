"""Requests to one host, and what its responses and event streams say."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec
from aiohttp import ClientResponse, ClientSession, ClientTimeout, StreamReader

from spsd.client.errors import ApiError, CommandError, Exit
from spsd.client.hosts import Host, spelled, trusted


@dataclass(frozen=True, slots=True)
class Event:
    """One event; ``data`` is its lines, joined."""

    kind: str
    data: str
    id: str


async def events(stream: StreamReader) -> AsyncIterator[Event]:
    """The events of a response's body, to its end; comments and unknown fields are passed over."""
    kind, last_id = "message", ""
    data: list[str] = []
    while line := await stream.readline():
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


Document = dict[str, Any]
"""What the API answers; its members are documented there, and others may come."""
COOKIE = "session_id"
FETCH = "/api/firmware/fetch"
SLOTS = "/api/firmware/slots"
_ANSWER_S = 90
"""Longer than a server may be asked to wait for a change."""


class Api:
    """The API of a host, with the session that is kept for it."""

    def __init__(self, host: Host, session: ClientSession) -> None:
        self.host = host
        self._session = session

    async def get(self, path: str, **query: str) -> Document:
        """A document; the errors are those of :meth:`ask`."""
        return await self.ask("GET", path, params=query)

    async def ask(self, method: str, path: str, **more: Any) -> Document:  # noqa: ANN401 - aiohttp's
        """The answer to one request.

        Raises:
            ApiError: the server refuses.
            CommandError: it cannot be reached, or is not the one that was pinned.
        """
        async with self.answer(method, path, **more) as response:
            return _document(await response.read(), response)

    @asynccontextmanager
    async def answer(
        self,
        method: str,
        path: str,
        **more: Any,  # noqa: ANN401 - aiohttp's
    ) -> AsyncIterator[ClientResponse]:
        """A success whose body is not read yet; the errors are those of :meth:`ask`."""
        try:
            async with self._session.request(method, self.host.url + path, **more) as response:
                if not response.ok:
                    raise _refusal(response, await response.read())
                yield response
        except aiohttp.ServerFingerprintMismatch as error:
            raise CommandError(
                f"{self.host.url} shows another certificate than the one that was pinned: "
                f"{spelled(error.got.hex())}, not {spelled(error.expected.hex())}. If it was "
                "changed on purpose, log in with --fingerprint.",
                Exit.NOT_TRUSTED,
            ) from error
        except aiohttp.ClientConnectorCertificateError as error:
            raise CommandError(
                f"the certificate of {self.host.url} does not verify: {error.certificate_error}",
                Exit.NOT_TRUSTED,
            ) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            why = str(error) or type(error).__name__
            raise CommandError(
                f"{self.host.url} cannot be reached: {why}", Exit.UNREACHABLE
            ) from error


@asynccontextmanager
async def connected(host: Host) -> AsyncIterator[Api]:
    """The API of the host, for as long as the context lasts."""
    cookies = {} if host.token is None else {COOKIE: host.token}
    async with ClientSession(
        connector=aiohttp.TCPConnector(ssl=trusted(host)),
        # By hand: a jar would not send them to addresses without a name.
        headers={"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
        if cookies
        else None,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=ClientTimeout(total=None, sock_connect=30, sock_read=_ANSWER_S),
        trust_env=True,
    ) as session:
        yield Api(host, session)


def _document(body: bytes, response: ClientResponse) -> Document:
    try:
        return msgspec.json.decode(body, type=Document)
    except msgspec.MsgspecError as error:
        raise CommandError(
            f"{response.url} answers something that is no JSON object: is it this API?",
            Exit.UNREACHABLE,
        ) from error


def _refusal(response: ClientResponse, body: bytes) -> ApiError:
    try:
        error: Mapping[str, Any] = msgspec.json.decode(body)["error"]
        kind, message = str(error["type"]), str(error["message"])
        details = error.get("details") or {}
    except (msgspec.MsgspecError, KeyError, TypeError):
        kind, message, details = "no JSON", f"{response.method} {response.url.path} failed", {}
    return ApiError(response.status, kind, message, details)
