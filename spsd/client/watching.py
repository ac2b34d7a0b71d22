"""Downloads on a terminal as they go on, or as lines for whoever reads a pipe."""

import asyncio
import sys
from collections.abc import Callable

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
    with Live(console=Console(highlight=False), refresh_per_second=8) as live:
        return await _watch(api, key, _Bars(live))


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
    """A bar for each, in place."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._paces: dict[str, Pace] = {}
        self._known: Known = {}

    def show(self, known: Known) -> None:
        now = asyncio.get_running_loop().time()
        self._known = known
        self._paces = {key: self._paces.get(key, Pace()) for key in known}
        for key, item in known.items():
            self._paces[key].saw(item["body"]["bytes_downloaded"], now)
        self._draw(None if known else Text("no downloads", style="dim"))

    def lost(self, lost: Lost) -> None:
        self._draw(Text(f"{lost.why}; again in {lost.again_s:g} s", style="yellow"))

    def _draw(self, below: RenderableType | None) -> None:
        table = showing.bars(self._known.values(), self._paces)
        errors = [
            Text(f"{key[: showing.KEY_SHOWN]}: {item['body']['error']}", style="red")
            for key, item in self._known.items()
            if item["body"]["error"]
        ]
        self._live.update(Group(table, *errors, *([below] if below is not None else [])))


_View = _Lines | _Bars


def _state(item: Document) -> object:
    body = item["body"]
    return {name: value for name, value in body.items() if name != "bytes_downloaded"}
