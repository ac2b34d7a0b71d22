"""The log on standard error: as text, with the journal's priorities, or as JSON."""

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
FIELDS = ("job", "action", "state", "attempt", "code", "event", "address", "user", "slot", "result")
"""Fields that a line may have besides its text; docs/logs.md documents them."""


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


class _Formatter(logging.Formatter):
    def __init__(self, log_format: LogFormat, *, priorities: bool) -> None:
        timed = log_format is LogFormat.TEXT or not priorities
        super().__init__(
            "%(asctime)s %(levelname)s %(name)s: %(message)s" if timed else "%(name)s: %(message)s"
        )
        self._json = log_format is LogFormat.JSON
        self._priorities = priorities

    def format(self, record: logging.LogRecord) -> str:
        text = self._as_json(record) if self._json else super().format(record)
        if not self._priorities:
            return text
        # On each line of a traceback, because the journal makes an entry of each: sd-daemon(3).
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
