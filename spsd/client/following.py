"""Downloads as they change: by events where the server has them, else by asking again.

The documented API has neither events nor waiting, so a server that answers a plain list is asked
again and again. One that goes away is waited for.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import msgspec
from aiohttp import ClientResponse

from spsd.client.connection import FETCH, Api, Document
from spsd.client.events import Event, events
from spsd.client.exits import Exit
from spsd.client.failures import CommandError

POLL_S = 1.0
AGAIN_S = (1.0, 2.0, 5.0, 10.0)
"""How long a server that is not there is left alone, after so many failures in a row."""

_STREAM = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Lost:
    """The server is not there; it is asked again in ``again_s`` seconds."""

    why: str
    again_s: float


Known = Mapping[str, Document]
"""The downloads by key, each an item of the list, in order of creation."""


async def followed(api: Api) -> AsyncIterator[Known | Lost]:
    """All downloads, each time that one of them has changed; without end.

    Raises:
        CommandError: the server is there and refuses.
    """
    failures = 0
    while True:
        try:
            async for known in _connected(api):
                failures = 0
                yield known
        except CommandError as error:
            if error.exit not in (Exit.UNREACHABLE, Exit.SERVER):
                raise
            again_s = AGAIN_S[min(failures, len(AGAIN_S) - 1)]
            failures += 1
            yield Lost(str(error), again_s)
            await asyncio.sleep(again_s)


async def _connected(api: Api) -> AsyncIterator[Known]:
    """Until the server ends it, or after one look where it has no events."""
    async with api.answer("GET", FETCH, headers={"Accept": f"{_STREAM}, application/json"}) as got:
        if got.content_type == _STREAM:
            # From the beginning each time: the whole list comes first.
            async for known in _streamed(got):
                yield known
            return
        yield _listed(msgspec.json.decode(await got.read()))
    await asyncio.sleep(POLL_S)


async def _streamed(response: ClientResponse) -> AsyncIterator[Known]:
    known: dict[str, Document] = {}
    async for event in events(response.content):
        known = after(known, event)
        yield known


def after(known: Known, event: Event) -> dict[str, Document]:
    """The downloads once the event has been told."""
    told = msgspec.json.decode(event.data)
    match event.kind:
        case "snapshot":
            return _listed(told)
        case "download":
            return {**known, told["key"]: told}
        case "removed":
            return {key: item for key, item in known.items() if key != told["key"]}
        case _:
            return dict(known)


def _listed(document: Document) -> dict[str, Document]:
    return {item["key"]: item for item in document["items"]}
