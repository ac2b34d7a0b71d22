"""Accounts, roles, and the delay after failed log-ins."""

from collections import OrderedDict
from dataclasses import dataclass, field
from enum import StrEnum
from math import ceil


class Role(StrEnum):
    """What an account may do: ``viewer`` reads, ``admin`` also writes."""

    ADMIN = "admin"
    VIEWER = "viewer"


@dataclass(frozen=True, slots=True)
class Account:
    """A user. ``password_hash`` is an argon2id hash in PHC string format."""

    name: str
    role: Role
    password_hash: str


@dataclass(frozen=True, slots=True)
class Session:
    """A logged-in client. The session ends after ``remaining_s`` seconds, unless it is used."""

    account: str
    role: Role
    remaining_s: int
    touched: bool = False
    """Whether this request renewed the idle limit, so that the cookie has to be sent again."""
    id: str = field(default="", compare=False)
    """Identifies the session within the daemon; it opens nothing."""

    def may_write(self) -> bool:
        """Whether the session may change anything: only that of an admin may."""
        return self.role is Role.ADMIN


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A session as stored. Times are seconds since the epoch."""

    account: str
    role: Role
    created_at: int
    seen_at: int


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """A session ends ``idle_s`` after its last use, and ``longest_s`` after its log-in."""

    idle_s: int
    longest_s: int

    def remaining_s(self, stored: StoredSession, *, now: int) -> int:
        """Seconds until the session ends if it is not used; 0 or less: it has ended.

        A time of the session that is in the future means that the clock was set back: it counts as
        the present.
        """
        idle = max(0, now - stored.seen_at)
        age = max(0, now - stored.created_at)
        return min(self.idle_s - idle, self.longest_s - age)


FREE_FAILURES = 5
"""Failures in a row after which the first delay is due."""
LONGEST_WAIT_S = 60
MAX_RECORDS = 4096
"""Pairs of peer and name that are remembered at the same time."""


@dataclass(frozen=True, slots=True)
class _Record:
    failures: int
    blocked_until: float


class Throttle:
    """Counts failures in a row for each (peer, name); all times are seconds of the same clock.

    The key is not the name alone: failures from another address must not lock out the owner of
    the account. Memory is bounded by :data:`MAX_RECORDS`: the record whose last failure is oldest
    is removed first.
    """

    def __init__(self) -> None:
        self._records: OrderedDict[tuple[str, str], _Record] = OrderedDict()

    def wait_s(self, peer: str, name: str, *, now: float) -> int:
        """Whole seconds until the next attempt may be checked; 0: now."""
        record = self._records.get((peer, name))
        wait = 0 if record is None else max(0, ceil(record.blocked_until - now))
        # A longer wait means that the clock was set back; the client must not wait for that.
        return wait if wait <= LONGEST_WAIT_S else 0

    def failed(self, peer: str, name: str, *, now: float) -> None:
        """Count a failure.

        From the :data:`FREE_FAILURES`-th failure in a row on there is a wait: 1 s, then doubled
        by each failure, up to :data:`LONGEST_WAIT_S`.
        """
        record = self._records.pop((peer, name), _Record(0, now))
        failures = record.failures + 1
        excess = failures - FREE_FAILURES
        wait = min(LONGEST_WAIT_S, 2 ** min(excess, 16)) if excess >= 0 else 0
        self._records[peer, name] = _Record(failures, now + wait)
        if len(self._records) > MAX_RECORDS:
            self._records.popitem(last=False)

    def succeeded(self, peer: str, name: str) -> None:
        """Forget the failures, after a log-in with the right password."""
        self._records.pop((peer, name), None)
