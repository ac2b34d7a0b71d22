"""The audit trail: a line for each log-in and for each change that a client requests.

A line is stable, and made for programs: ``EVENT address=ADDRESS user="NAME"``, then what the event
is about, all as JSON values. The address stands before everything that a client has chosen, and a
string is in quotes and ASCII, so that no name can imitate an address or another line. docs/logs.md
has the events; the filter for fail2ban is in docs/monitoring/fail2ban/.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from aiohttp import web

from spsd.errors import RequestError
from spsd.web.middleware.auth import SESSION
from spsd.web.middleware.clients import client_of

_log = logging.getLogger("spsd.audit")
TEXT_LIMIT = 64
"""Characters of a name or a key that are logged; real ones are not longer."""
OK = "ok"
FAILED = "failed"


class Event(StrEnum):
    """What was done, or tried."""

    LOG_IN = "log-in"
    LOG_IN_FAILED = "log-in-failed"
    LOG_IN_THROTTLED = "log-in-throttled"
    LOG_OUT = "log-out"
    SUBMIT = "submit"
    CANCEL = "cancel"
    REMOVE = "remove"
    UPLOAD = "upload"
    EMPTY_SLOT = "empty-slot"
    TEST = "test"
    UPGRADE = "upgrade"


WARNINGS = frozenset({Event.LOG_IN_FAILED, Event.LOG_IN_THROTTLED})


@dataclass(slots=True)
class Subject:
    """The event and what it is about; the handler sets what it finds out."""

    event: Event
    job: str | None = None
    slot: int | None = None


def log_access(request: web.Request, event: Event, user: str) -> None:
    """Log a log-in or a log-out of ``user``, which for a failed one is any text."""
    _write(request, user, Subject(event), result=None)


@contextmanager
def audited(
    request: web.Request, event: Event, *, job: str | None = None, slot: int | None = None
) -> Iterator[Subject]:
    """Log the event of the session's user when the context ends, with its result.

    The result is ``ok``, the type of the error that refused the request, or ``failed``: an error of
    spsd, or the client has closed the connection.
    """
    subject = Subject(event, job, slot)
    result = FAILED
    try:
        yield subject
        result = OK
    except RequestError as error:
        result = error.type
        raise
    finally:
        _write(request, request[SESSION].account, subject, result=result)


def _write(request: web.Request, user: str, subject: Subject, *, result: str | None) -> None:
    about = {
        "user": user[:TEXT_LIMIT],
        "job": subject.job and subject.job[:TEXT_LIMIT],
        "slot": subject.slot,
        "result": result,
    }
    known = {key: value for key, value in about.items() if value is not None}
    address = client_of(request).address
    is_warning = subject.event in WARNINGS or result not in (None, OK)
    _log.log(
        logging.WARNING if is_warning else logging.INFO,
        "%s address=%s %s",
        subject.event,
        address,
        # ASCII alone, with quotes, backslashes and control characters escaped.
        " ".join(f"{key}={json.dumps(value)}" for key, value in known.items()),
        extra={"event": subject.event.value, "address": address, **known},
    )
