"""Downloads on a terminal as they go on, or as lines for whoever reads a pipe."""

import sys
import time
from collections.abc import Callable, Sequence

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from spsd.client import showing
from spsd.client.connection import Api, Document
from spsd.client.context import Call
from spsd.client.downloads import Pace, exit_for, is_over
from spsd.client.exits import Exit
from spsd.client.following import Known, Lost, followed


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
