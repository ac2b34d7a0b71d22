"""Follows downloads by server-sent events or by polling, and displays their progress.

The documented API has no events, so a server that responds with a plain list is polled. After a
lost connection the client reconnects.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import click
import msgspec
from aiohttp import ClientResponse
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from spsd.client import display
from spsd.client.api import FETCH, Api, Document, Event, parse_events
from spsd.client.display import RateEstimator
from spsd.client.errors import CommandError, Exit, exit_for_download, is_final
from spsd.text import harmless

POLL_S = 1.0
RETRY_DELAYS_S = (1.0, 2.0, 5.0, 10.0)
"""The delay after the first, second, … failure in a row; the last one for all that follow."""
RENEW_S = 30.0
"""Shorter than the shortest idle limit that the settings of spsd allow, a minute."""
_USER_INFO = "/api/user_info"
_EVENT_STREAM = "text/event-stream"


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """The server cannot be reached, or failed; the next attempt is in ``retry_s`` seconds."""

    reason: str
    retry_s: float

    def __str__(self) -> str:
        return f"{self.reason}; retrying in {self.retry_s:g} s"


Downloads = Mapping[str, Document]
"""The downloads by key, each an item of the API's list, in order of creation."""


async def follow_downloads(api: Api) -> AsyncIterator[Downloads | ConnectionLost]:
    """All downloads, once at the start and after each change; does not end by itself.

    Raises:
        CommandError: the server returned an error status below 500, or is not trusted.
    """
    failures = 0
    while True:
        try:
            async for downloads in _receive_updates(api):
                failures = 0
                yield downloads
        except CommandError as error:
            if error.exit not in (Exit.UNREACHABLE, Exit.SERVER):
                raise
            retry_s = RETRY_DELAYS_S[min(failures, len(RETRY_DELAYS_S) - 1)]
            failures += 1
            yield ConnectionLost(str(error), retry_s)
            await asyncio.sleep(retry_s)


async def _receive_updates(api: Api) -> AsyncIterator[Downloads]:
    """The updates of one event stream until it ends, or of one poll without a stream."""
    headers = {"Accept": f"{_EVENT_STREAM}, application/json"}
    async with api.open_response("GET", FETCH, headers=headers) as response:
        if response.content_type == _EVENT_STREAM:
            # Each stream starts with the whole list, so no Last-Event-ID is sent.
            async for downloads in _read_stream(response):
                yield downloads
        else:
            yield _index_by_key(msgspec.json.decode(await response.read()))
    # After a stream too: a server may end each one at once.
    await asyncio.sleep(POLL_S)


async def _read_stream(response: ClientResponse) -> AsyncIterator[Downloads]:
    downloads: dict[str, Document] = {}
    async for event in parse_events(response.content):
        downloads = apply_event(downloads, event)
        yield downloads


def apply_event(downloads: Downloads, event: Event) -> dict[str, Document]:
    """The downloads after the event; unknown kinds of events change nothing."""
    data = msgspec.json.decode(event.data)
    match event.kind:
        case "snapshot":
            return _index_by_key(data)
        case "download":
            return {**downloads, data["key"]: data}
        case "removed":
            return {key: item for key, item in downloads.items() if key != data["key"]}
        case _:
            return dict(downloads)


def _index_by_key(document: Document) -> dict[str, Document]:
    return {item["key"]: item for item in document["items"]}


async def watch_downloads(api: Api, key: str | None, *, as_json: bool) -> Exit | None:
    """Display all downloads without end, or the download ``key`` until it ends.

    Returns the exit status for the result of that download; CANCELLED too if its record is removed.

    Raises:
        CommandError: as :func:`follow_downloads`.
    """
    if as_json:
        return await _watch(api, key, _LineView(display.json_line, lambda item: item))
    if not sys.stdout.isatty():
        return await _watch(api, key, _LineView(display.download_line, _without_progress))
    view = _ProgressView(time.monotonic)
    with Live(
        view, console=Console(highlight=False, markup=False, emoji=False), refresh_per_second=4
    ):
        return await _watch(api, key, view)


@asynccontextmanager
async def session_in_use(api: Api, *, every_s: float = RENEW_S) -> AsyncIterator[None]:
    """Within the context, renew the session: spsd counts no event stream as a use of it.

    A command that follows downloads was started by a person, and ends with them. The session still
    ends at its longest duration.
    """
    renewing = asyncio.create_task(_renew(api, every_s))
    try:
        yield
    finally:
        renewing.cancel()
        await asyncio.wait([renewing])


async def _renew(api: Api, every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        with suppress(CommandError):  # the stream reports it
            await api.get(_USER_INFO)


async def _watch(api: Api, key: str | None, view: "_View") -> Exit | None:
    async with session_in_use(api):
        return await _watch_in_session(api, key, view)


async def _watch_in_session(api: Api, key: str | None, view: "_View") -> Exit | None:
    seen = False
    async for update in follow_downloads(api):
        if isinstance(update, ConnectionLost):
            view.show_connection_lost(update)
            continue
        if key is None:
            view.show(update)
            continue
        view.show({key: update[key]} if key in update else {})
        if key not in update:
            if seen:
                return Exit.CANCELLED
        elif is_final(update[key]):
            return exit_for_download(update[key])
        seen = True
    return None


class _LineView:
    """Prints a line for each download whose ``state`` has changed since its last line."""

    def __init__(
        self, render: Callable[[Document], str], state: Callable[[Document], object]
    ) -> None:
        self._render = render
        self._state = state
        self._printed: dict[str, object] = {}

    def show(self, downloads: Downloads) -> None:
        for key, item in downloads.items():
            state = self._state(item)
            if self._printed.get(key) != state:
                self._printed[key] = state
                click.echo(self._render(item))
        for key in self._printed.keys() - downloads.keys():
            del self._printed[key]

    def show_connection_lost(self, lost: ConnectionLost) -> None:
        click.echo(f"spsctl: {harmless(str(lost))}", err=True)


class _ProgressView:
    """A progress bar for each download, updated in place.

    A thread of rich renders it several times a second, also without updates.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._rows: Sequence[tuple[Document, RateEstimator]] = ()
        self._message: Text | None = None

    def show(self, downloads: Downloads) -> None:
        rates = {item["key"]: rate for item, rate in self._rows}
        self._rows = [(item, rates.get(key, RateEstimator())) for key, item in downloads.items()]
        self._message = None if downloads else Text("no downloads", style="dim")

    def show_connection_lost(self, lost: ConnectionLost) -> None:
        self._message = Text(harmless(str(lost)), style="yellow")

    def __rich__(self) -> RenderableType:
        rows, now = self._rows, self._clock()
        for item, rate in rows:
            rate.add_sample(item["body"]["bytes_downloaded"], now)
        errors = [display.failure(item) for item, _ in rows if item["body"]["error"]]
        message = [] if self._message is None else [self._message]
        return Group(display.progress_table(rows), *errors, *message)


_View = _LineView | _ProgressView


def _without_progress(item: Document) -> object:
    """A state that progress alone does not change: in text each byte count would be a line."""
    return {name: value for name, value in item["body"].items() if name != "bytes_downloaded"}
