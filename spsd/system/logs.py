"""The log on standard error: as text, with the journal's priorities, or as JSON.

A record is one line, whatever strangers have put into it. Only a traceback adds lines; they are
indented, so that none of them can be taken for a record. A record is shorter than what the journal
splits (journald.conf(5), LineMax), for what it splits off has no priority and can pass for another.
"""

import json
import logging
import os
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from types import TracebackType
from typing import TextIO

from spsd.text import capped, harmless, json_line, visible

_SYSLOG_LEVELS = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}
FIELDS = ("job", "action", "state", "attempt", "code", "event", "address", "user", "slot", "result")
"""Fields that a line may have besides its text; docs/logs.md documents them."""
FIELD_BYTES = 1024
TRACEBACK_BYTES = 12 * 1024
"""With JSON's escapes twice as much at most."""
_TRACEBACK_LINE_BYTES = 1024
_INDENT = "    "
_Info = tuple[type[BaseException], BaseException, TracebackType | None] | None
_log = logging.getLogger(__name__)


class LogFormat(StrEnum):
    """The form of lines. ``auto``: text, without the time if the journal records it."""

    AUTO = "auto"
    TEXT = "text"
    JSON = "json"


def log_handler(
    environ: Mapping[str, str], stream: TextIO, log_format: LogFormat = LogFormat.AUTO
) -> logging.Handler:
    """A handler that writes to ``stream``; if that is the journal, with the priority of a line."""
    to_journal = is_journal(environ, stream)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Formatter(log_format, priorities=to_journal))
    return handler


def is_journal(environ: Mapping[str, str], stream: TextIO) -> bool:
    """Whether ``stream`` is the one that ``JOURNAL_STREAM`` (systemd.exec(5)) identifies.

    A child process inherits the variable even if its output is redirected, so its presence alone
    is not enough.
    """
    device, _, inode = environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):  # no descriptor, or a closed one
        return False
    return (device, inode) == (str(status.st_dev), str(status.st_ino))


def log_uncaught() -> None:
    """Log what nothing catches, in place of the traceback that Python would write by itself.

    Those are an exception that ends the process or a thread, one in a finalizer, and warnings. It
    is for the rest of the process.
    """

    def exception(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
            return
        _log.critical(
            "spsd ends by an error that it does not expect", exc_info=(kind, error, trace)
        )

    def in_thread(failed: threading.ExceptHookArgs) -> None:
        _log.error("a thread ended by an error", exc_info=_info(failed))

    def in_finalizer(failed: "sys.UnraisableHookArgs") -> None:
        _log.error("%s", failed.err_msg or "an error in a finalizer", exc_info=_info(failed))

    sys.excepthook = exception
    threading.excepthook = in_thread
    sys.unraisablehook = in_finalizer
    logging.captureWarnings(True)  # noqa: FBT003 - its only argument


def _info(failed: "threading.ExceptHookArgs | sys.UnraisableHookArgs") -> _Info:
    error = failed.exc_value
    return None if error is None else (failed.exc_type, error, failed.exc_traceback)


class _Formatter(logging.Formatter):
    def __init__(self, log_format: LogFormat, *, priorities: bool) -> None:
        timed = log_format is LogFormat.TEXT or not priorities
        super().__init__(
            "%(asctime)s %(levelname)s %(name)s: %(message)s" if timed else "%(name)s: %(message)s"
        )
        self._json = log_format is LogFormat.JSON
        self._priorities = priorities

    def format(self, record: logging.LogRecord) -> str:
        lines = [self._as_json(record)] if self._json else self._as_text(record)
        # On each line of a traceback, because the journal makes an entry of each: sd-daemon(3).
        priority = f"<{_SYSLOG_LEVELS.get(record.levelno, 6)}>" if self._priorities else ""
        return "\n".join(f"{priority}{line}" for line in lines)

    def _as_text(self, record: logging.LogRecord) -> list[str]:
        record.message = harmless(record.getMessage())
        if self.usesTime():
            record.asctime = self.formatTime(record)
        more = self._traceback(record)
        return [visible(self.formatMessage(record)), *(_INDENT + line for line in more)]

    def _as_json(self, record: logging.LogRecord) -> str:
        fields = {name: getattr(record, name, None) for name in FIELDS}
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": capped(record.getMessage(), rendered=_json),
            **{
                name: capped(value, FIELD_BYTES, rendered=_json)
                if isinstance(value, str)
                else value
                for name, value in fields.items()
                if value is not None
            },
        }
        if more := self._traceback(record):
            line["exception"] = "\n".join(more)
        return _json(line)

    def _traceback(self, record: logging.LogRecord) -> list[str]:
        """The lines of the traceback, and of the stack; in the middle some may be left out."""
        parts = [self.formatException(record.exc_info)] if record.exc_info else []
        if record.stack_info:
            parts.append(self.formatStack(record.stack_info))
        lines = "\n".join(parts).split("\n") if parts else []
        first = list(_fitting(lines, TRACEBACK_BYTES // 4))
        last = list(_fitting(reversed(lines[len(first) :]), TRACEBACK_BYTES * 3 // 4))[::-1]
        omitted = len(lines) - len(first) - len(last)
        return [*first, *([f"… {omitted} lines are left out"] if omitted else []), *last]


def _fitting(lines: Iterable[str], limit: int) -> Iterator[str]:
    """The first of the lines, harmless, which together have at most ``limit`` bytes."""
    for line in lines:
        shown = harmless(line, limit=_TRACEBACK_LINE_BYTES)
        limit -= len(shown.encode()) + len(_INDENT) + len("<3>\n")
        if limit < 0:
            return
        yield shown


def _json(value: object) -> str:
    return json_line(json.dumps(value, ensure_ascii=False, default=str))
