"""The log, on standard error: for the journal, for people, or for programs."""

import json
import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import TextIO

_SYSLOG_LEVELS = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}
FIELDS = ("job", "action", "state", "attempt", "code")
"""What a line may have beside its text; docs/logs.md says what each means."""


class LogFormat(StrEnum):
    """How lines look; ``auto``: as text, without the time where the journal keeps it."""

    AUTO = "auto"
    TEXT = "text"
    JSON = "json"


def log_handler(
    environ: Mapping[str, str], stream: TextIO, wanted: LogFormat = LogFormat.AUTO
) -> logging.Handler:
    """Lines to ``stream``; with their priority where that is the journal's, whatever the form."""
    to_journal = names_journal(environ, stream)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Formatter(wanted, priorities=to_journal))
    return handler


def names_journal(environ: Mapping[str, str], stream: TextIO) -> bool:
    """Whether ``JOURNAL_STREAM`` (systemd.exec(5)) means this stream.

    A program that is started with its output sent elsewhere inherits the variable all the same.
    """
    device, _, inode = environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        there = os.fstat(stream.fileno())
    except (OSError, ValueError):  # no descriptor, or a closed one
        return False
    return (device, inode) == (str(there.st_dev), str(there.st_ino))


class _Formatter(logging.Formatter):
    def __init__(self, wanted: LogFormat, *, priorities: bool) -> None:
        timed = wanted is LogFormat.TEXT or not priorities
        super().__init__(
            "%(asctime)s %(levelname)s %(name)s: %(message)s" if timed else "%(name)s: %(message)s"
        )
        self._json = wanted is LogFormat.JSON
        self._priorities = priorities

    def format(self, record: logging.LogRecord) -> str:
        text = self._as_json(record) if self._json else super().format(record)
        if not self._priorities:
            return text
        # On each line of a traceback, or the journal splits it: levels as sd-daemon(3) has them.
        priority = _SYSLOG_LEVELS.get(record.levelno, 6)
        return "\n".join(f"<{priority}>{line}" for line in text.splitlines())

    def _as_json(self, record: logging.LogRecord) -> str:
        fields = {name: getattr(record, name, None) for name in FIELDS}
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{name: value for name, value in fields.items() if value is not None},
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)
