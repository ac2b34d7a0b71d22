"""Output: tables and progress bars for people, JSON for programs."""

import sys
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from rich.console import Console, Group, RenderableType
from rich.filesize import decimal
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from spsd.client.api import FETCH, Api, Document
from spsd.client.errors import CommandError, Exit

OVER: Mapping[str, Exit] = {
    "finished": Exit.DONE,
    "failed": Exit.FAILED,
    "cancelled": Exit.CANCELLED,
}
"""The statuses from which nothing follows, and how a command ends that waited for one."""
WINDOW_S = 10.0
"""Over so long a rate is taken."""


async def found(api: Api, prefix: str) -> str:
    """The key that begins so.

    Raises:
        CommandError: none does, or several.
    """
    items = (await api.get(FETCH))["items"]
    return chosen((str(item["key"]) for item in items), prefix)


def chosen(keys: Iterable[str], prefix: str) -> str:
    """The one key that begins so, or is it; errors as in :func:`found`."""
    fitting = [key for key in keys if key.startswith(prefix.lower())]
    if prefix in fitting:
        return prefix
    match fitting:
        case [key] if prefix:
            return key
        case []:
            raise CommandError(
                f"no download's key begins with {prefix!r}; `spsctl downloads` shows all",
                Exit.NOT_FOUND,
            )
        case _:
            told = ", ".join(fitting[:5]) + (", …" if len(fitting) > 5 else "")
            raise CommandError(
                f"{len(fitting)} keys begin with {prefix!r}: {told}. Give more of it.",
                Exit.NOT_FOUND,
            )


@dataclass
class Pace:
    """The rate of one download, of what was seen in the last seconds."""

    _seen: deque[tuple[float, int]] = field(default_factory=deque)

    def saw(self, done: int, now: float) -> None:
        """So many bytes are here at that time (any monotonic seconds).

        Also when they are no more than before: that is what makes it slow.
        """
        if self._seen and done < self._seen[-1][1]:
            self._seen.clear()  # started over
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[1][0] > WINDOW_S:
            self._seen.popleft()

    @property
    def rate(self) -> float | None:
        """Bytes a second; None: not known yet."""
        if len(self._seen) < 2:
            return None
        (then, first), (now, last) = self._seen[0], self._seen[-1]
        return (last - first) / (now - then) if now > then else None

    def left_s(self, total: int) -> float | None:
        """Seconds until ``total`` bytes are here, if it goes on like this."""
        if not self.rate or not total:
            return None
        return (total - self._seen[-1][1]) / self.rate


def is_over(item: Document) -> bool:
    """Whether nothing follows."""
    return item["body"]["status"] in OVER


def exit_for(item: Document) -> Exit:
    """How a command ends that waited for it."""
    return OVER.get(item["body"]["status"], Exit.DONE)


KEY_SHOWN = 8
"""So much of a key is shown where there is little room; a prefix is enough to name it."""
_STYLE = {
    "queued": "dim",
    "in-progress": "cyan",
    "finished": "green",
    "failed": "red",
    "cancelled": "yellow",
}


class _Console(Console):
    def on_broken_pipe(self) -> None:
        # Whoever calls decides what it means; rich would end the process with 1.
        raise BrokenPipeError


def console() -> Console:
    """Where people look; where it is no terminal, plain text that nothing is cut from."""
    return _Console(highlight=False, width=None if sys.stdout.isatty() else 1000)


def as_json(value: object) -> str:
    """One line."""
    return msgspec.json.encode(value).decode()


def downloads(items: Iterable[Document]) -> Table:
    """A row for each."""
    table = _table("KEY", "STATUS", "PROGRESS", "SLOT", "URL")
    for item in items:
        body = item["body"]
        table.add_row(
            item["key"][:KEY_SHOWN],
            _status(body),
            amount(body),
            _cell(body["slot_id"]),
            body["url"],
        )
    return table


def download(document: Document, moves: Iterable[Document] | None) -> RenderableType:
    """One, with its history where the server tells it."""
    body = document["body"]
    facts = Table.grid(padding=(0, 2))
    for name, value in (
        ("key", document["key"]),
        ("status", _status(body)),
        ("progress", amount(body)),
        ("url", body["url"]),
        ("slot", body["slot_id"]),
        ("started", body["start_time"]),
        ("error", body["error"]),
    ):
        if value not in (None, ""):
            facts.add_row(Text(name, style="dim"), _cell(value))
    if moves is None:
        return facts
    history = _table("TIME", "CAUSE", "STATUS", "ATTEMPT", "EVIDENCE")
    for move in moves:
        history.add_row(
            *(_cell(move.get(name)) for name in ("time", "cause", "status", "attempt", "evidence"))
        )
    return Group(facts, Text(), history)


def slots(document: Document) -> Table:
    """A row for each slot, empty ones too."""
    table = _table("SLOT", "VERSION", "", "NOTES")
    for item in document["items"]:
        body = item["body"]
        marks = [
            name
            for name, holds in (
                ("current", body.get("current")),
                ("after reboot", body.get("after_reboot")),
            )
            if holds
        ]
        version = body.get("version") or Text("empty", style="dim")
        table.add_row(item["key"], version, ", ".join(marks), _cell(body.get("upgrade_notes")))
    return table


def facts(body: Mapping[str, Any]) -> Table:
    """Names and values."""
    table = Table.grid(padding=(0, 2))
    for name, value in body.items():
        if value is not None and not isinstance(value, dict):
            shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            table.add_row(Text(name, style="dim"), shown)
    return table


def bars(items: Iterable[tuple[Document, Pace]]) -> Table:
    """A line with a bar for each."""
    table = Table.grid(padding=(0, 2))
    for item, pace in items:
        body = item["body"]
        done, total = body["bytes_downloaded"], body["bytes_total"]
        bar = ProgressBar(total=total or 1, completed=done, width=24)
        table.add_row(
            item["key"][:KEY_SHOWN],
            _status(body),
            bar,
            amount(body),
            speed(pace, total),
            name(body),
        )
    return table


def line(item: Document) -> str:
    """One download in a line of text."""
    body = item["body"]
    told = [item["key"][:KEY_SHOWN], body["status"], amount(body), name(body), body["error"] or ""]
    return "  ".join(str(part) for part in told if part)


def amount(body: Mapping[str, Any]) -> str:
    """How much of it is here."""
    done, total = body["bytes_downloaded"], body["bytes_total"]
    if not total:
        return decimal(done) if done else ""
    return f"{done / total:4.0%} of {decimal(total)}"


def speed(pace: Pace, total: int) -> str:
    """The rate, and the time that is left."""
    if not pace.rate:
        return ""
    left = pace.left_s(total)
    return f"{decimal(int(pace.rate))}/s" + (
        f", {time_left(left)} left" if left is not None else ""
    )


def time_left(seconds: float) -> str:
    """As hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def name(body: Mapping[str, Any]) -> str:
    """The file's name, which tells more than the host where there is little room."""
    return str(body["url"]).partition("?")[0].rstrip("/").rpartition("/")[2] or str(body["url"])


def when(text: str) -> str:
    """A time of the API in the user's zone."""
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _status(body: Mapping[str, Any]) -> Text:
    return Text(body["status"], style=_STYLE.get(body["status"], ""))


def _cell(value: object) -> Text | str:
    if isinstance(value, Text):
        return value
    return "" if value is None else str(value)


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold" if column in ("URL", "EVIDENCE") else "ellipsis")
    return table
