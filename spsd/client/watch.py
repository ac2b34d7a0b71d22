"""Downloads as they change, by events or by polling, shown on a terminal or as lines.

The documented API has neither events nor waiting, so a server that answers a plain list is polled.
One that goes away is waited for.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass

import click
import msgspec
from aiohttp import ClientResponse
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from spsd.client import showing
from spsd.client.api import FETCH, Api, Document, Event, events
from spsd.client.context import Call
from spsd.client.errors import CommandError, Exit
from spsd.client.showing import Pace, exit_for, is_over

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


async def watch_downloads(api: Api, call: Call, key: str | None) -> Exit | None:
    """Show all downloads without end, or the one of ``key`` to its end; gives how that ended."""
    if call.as_json:
        return await _watch(api, key, _Lines(showing.as_json))
    if not sys.stdout.isatty():
        return await _watch(api, key, _Lines(showing.line))
    bars = _Bars(time.monotonic)
    with Live(bars, console=Console(highlight=False), refresh_per_second=4):
        return await _watch(api, key, bars)


async def _watch(api: Api, key: str | None, view: "_View") -> Exit | None:
    seen = False
    async for known in followed(api):
        if isinstance(known, Lost):
            view.lost(known)
            continue
        shown = known if key is None else {one: known[one] for one in known if one == key}
        view.show(shown)
        if key is None:
            continue
        if key not in shown:
            if seen:
                return Exit.CANCELLED
            seen = True
        elif is_over(shown[key]):
            return exit_for(shown[key])
        seen = True
    return None


class _Lines:
    """A line for each change; progress alone is none for a person's eyes."""

    def __init__(self, render: Callable[[Document], str]) -> None:
        self._render = render
        self._told: dict[str, object] = {}

    def show(self, known: Known) -> None:
        for key, item in known.items():
            told = self._render(item) if self._render is showing.as_json else _state(item)
            if self._told.get(key) != told:
                self._told[key] = told
                click.echo(self._render(item))
        for key in self._told.keys() - known.keys():
            del self._told[key]

    def lost(self, lost: Lost) -> None:
        click.echo(f"spsctl: {lost.why}; again in {lost.again_s:g} s", err=True)


class _Bars:
    """A bar for each, in place; drawn some times a second, by a thread, whatever has come."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._shown: Sequence[tuple[Document, Pace]] = ()
        self._below: Text | None = None

    def show(self, known: Known) -> None:
        paces = {item["key"]: pace for item, pace in self._shown}
        self._shown = [(item, paces.get(key, Pace())) for key, item in known.items()]
        self._below = None if known else Text("no downloads", style="dim")

    def lost(self, lost: Lost) -> None:
        self._below = Text(f"{lost.why}; again in {lost.again_s:g} s", style="yellow")

    def __rich__(self) -> RenderableType:
        shown, now = self._shown, self._clock()
        for item, pace in shown:
            pace.saw(item["body"]["bytes_downloaded"], now)
        errors = [
            Text(f"{item['key'][: showing.KEY_SHOWN]}: {item['body']['error']}", style="red")
            for item, _ in shown
            if item["body"]["error"]
        ]
        return Group(
            showing.bars(shown), *errors, *([self._below] if self._below is not None else [])
        )


_View = _Lines | _Bars


def _state(item: Document) -> object:
    body = item["body"]
    return {name: value for name, value in body.items() if name != "bytes_downloaded"}
