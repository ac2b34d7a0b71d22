"""Terminal output: tables and progress bars, and JSON lines for ``--json``.

What comes from an appliance is text of strangers: it is put into tables as ``Text``, which has no
markup, with escapes for what a terminal would act on.
"""

import sys
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from rich.console import Console, Group, RenderableType
from rich.filesize import decimal
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from spsd.client.api import Document
from spsd.text import capped, harmless, visible_lines
from spsd.text import json_line as one_line

RATE_WINDOW_S = 10.0
"""A transfer rate is the average over this time."""


@dataclass
class RateEstimator:
    """Estimates the transfer rate of one download from samples of its byte count."""

    _samples: deque[tuple[float, int]] = field(default_factory=deque)

    def add_sample(self, byte_count: int, now: float) -> None:
        """Add the byte count at ``now``, in seconds of any monotonic clock.

        Samples without progress count too: they lower the rate of a download that stands still. A
        lower byte count than the last one is a restarted download, whose rate is estimated anew.
        """
        if self._samples and byte_count < self._samples[-1][1]:
            self._samples.clear()
        self._samples.append((now, byte_count))
        while len(self._samples) > 2 and now - self._samples[1][0] > RATE_WINDOW_S:
            self._samples.popleft()

    @property
    def bytes_per_second(self) -> float | None:
        """The rate; None: not known yet."""
        if len(self._samples) < 2:
            return None
        (start, first), (end, last) = self._samples[0], self._samples[-1]
        return (last - first) / (end - start) if end > start else None

    def seconds_left(self, total: int) -> float | None:
        """Seconds until ``total`` bytes at the present rate; None: the rate is 0 or not known."""
        if not self.bytes_per_second or not total:
            return None
        return (total - self._samples[-1][1]) / self.bytes_per_second


SHORT_KEY_LENGTH = 8
"""Tables and lines show this many digits of a key; commands accept such a prefix."""
_STYLE = {
    "queued": "dim",
    "in-progress": "cyan",
    "finished": "green",
    "failed": "red",
    "cancelled": "yellow",
}


class _Console(Console):
    def on_broken_pipe(self) -> None:
        # rich would exit with status 1; run_and_exit() decides instead.
        raise BrokenPipeError


def open_console() -> Console:
    """Standard output; if that is no terminal, plain text whose lines are not truncated."""
    # No markup and no emoji also in strings that rich itself turns into text.
    width = None if sys.stdout.isatty() else 1000
    return _Console(highlight=False, markup=False, emoji=False, width=width)


def printable(value: RenderableType) -> RenderableType:
    """The value; a string as text without effect, line by line."""
    return _lines(value) if isinstance(value, str) else value


def json_line(value: object) -> str:
    """The value as JSON on one line, with escapes for what a terminal would act on."""
    return one_line(msgspec.json.encode(value).decode())


def downloads_table(items: Iterable[Document]) -> Table:
    """A row for each download."""
    table = _table("KEY", "STATUS", "PROGRESS", "SLOT", "URL")
    for item in items:
        body = item["body"]
        table.add_row(
            _cell(item["key"][:SHORT_KEY_LENGTH]),
            _status(body),
            progress_text(body),
            _cell(body["slot_id"]),
            _cell(body["url"]),
        )
    return table


def download_details(document: Document, transitions: Iterable[Document] | None) -> RenderableType:
    """The properties of one download, and its history unless ``transitions`` is None."""
    body = document["body"]
    properties = Table.grid(padding=(0, 2))
    for name, value in (
        ("key", document["key"]),
        ("status", _status(body)),
        ("progress", progress_text(body)),
        ("url", body["url"]),
        ("slot", body["slot_id"]),
        ("started", body["start_time"]),
        ("error", body["error"]),
    ):
        if value not in (None, ""):
            properties.add_row(Text(name, style="dim"), _cell(value))
    if transitions is None:
        return properties
    history = _table("TIME", "CAUSE", "STATUS", "ATTEMPT", "EVIDENCE")
    columns = ("time", "cause", "status", "attempt", "evidence")
    for transition in transitions:
        history.add_row(*(_cell(transition.get(name)) for name in columns))
    return Group(properties, Text(), history)


def slots_table(document: Document) -> Table:
    """A row for each slot, also for empty ones."""
    table = _table("SLOT", "VERSION", "", "NOTES")
    for item in document["items"]:
        body = item["body"]
        marks = [
            name
            for name, marked in (
                ("current", body.get("current")),
                ("after reboot", body.get("after_reboot")),
            )
            if marked
        ]
        version = body.get("version") or Text("empty", style="dim")
        notes = _lines(body.get("upgrade_notes"))
        table.add_row(_cell(item["key"]), _cell(version), ", ".join(marks), notes)
    return table


def properties_table(body: Mapping[str, Any]) -> Table:
    """A row for each member with a value; objects are left out."""
    table = Table.grid(padding=(0, 2))
    for name, value in body.items():
        if value is not None and not isinstance(value, dict):
            text = ", ".join(map(str, value)) if isinstance(value, list) else value
            table.add_row(_text(name, style="dim"), _cell(text))
    return table


def progress_table(items: Iterable[tuple[Document, RateEstimator]]) -> Table:
    """A row with a progress bar for each download."""
    table = Table.grid(padding=(0, 2))
    for item, rate in items:
        body = item["body"]
        done, total = body["bytes_downloaded"], body["bytes_total"]
        bar = ProgressBar(total=total or 1, completed=done, width=24)
        table.add_row(
            _cell(item["key"][:SHORT_KEY_LENGTH]),
            _status(body),
            bar,
            progress_text(body),
            rate_text(rate, total),
            _cell(file_name(body)),
        )
    return table


def download_line(item: Document) -> str:
    """One download in a line of text."""
    body = item["body"]
    parts = (
        item["key"][:SHORT_KEY_LENGTH],
        body["status"],
        progress_text(body),
        file_name(body),
        body["error"],
    )
    return "  ".join(harmless(str(part)) for part in parts if part)


def progress_text(body: Mapping[str, Any]) -> str:
    """Such as ``50% of 3.0 MB``; the byte count alone while the total is not known."""
    done, total = body["bytes_downloaded"], body["bytes_total"]
    if not total:
        return decimal(done) if done else ""
    return f"{done / total:4.0%} of {decimal(total)}"


def rate_text(rate: RateEstimator, total: int) -> str:
    """Such as ``1.2 MB/s, 0:42 left``; empty while the rate is 0 or not known."""
    if not rate.bytes_per_second:
        return ""
    seconds = rate.seconds_left(total)
    return f"{decimal(int(rate.bytes_per_second))}/s" + (
        f", {duration_text(seconds)} left" if seconds is not None else ""
    )


def duration_text(seconds: float) -> str:
    """As ``[hours:]minutes:seconds``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def file_name(body: Mapping[str, Any]) -> str:
    """The last segment of the URL's path, without a query; the URL if there is none."""
    return str(body["url"]).partition("?")[0].rstrip("/").rpartition("/")[2] or str(body["url"])


def _status(body: Mapping[str, Any]) -> Text:
    return _text(body["status"], style=_STYLE.get(body["status"], ""))


def failure(item: Document) -> Text:
    """The key and the error of a download."""
    return _text(f"{item['key'][:SHORT_KEY_LENGTH]}: {item['body']['error']}", style="red")


def _cell(value: object) -> Text:
    return value if isinstance(value, Text) else _text("" if value is None else value)


def _text(value: object, style: str = "") -> Text:
    return Text(harmless(str(value)), style=style)


def _lines(value: object) -> Text:
    """Text with the lines of the value; within a cell the second one starts below the first."""
    return Text("\n".join(visible_lines(capped("" if value is None else str(value)))))


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold" if column in ("URL", "EVIDENCE") else "ellipsis")
    return table
