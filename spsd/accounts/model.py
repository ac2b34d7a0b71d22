"""Accounts, roles, and the delay after failed log-ins."""

from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum
from math import ceil


class Role(StrEnum):
    """``viewer`` reads, ``admin`` also writes."""

    ADMIN = "admin"
    VIEWER = "viewer"


@dataclass(frozen=True, slots=True)
class Account:
    """A name, a role, and the PHC string of the password's hash."""

    name: str
    role: Role
    password_hash: str


@dataclass(frozen=True, slots=True)
class Session:
    """A logged-in client; ``remaining_s`` is what the idle limit leaves."""

    account: str
    role: Role
    remaining_s: int
    touched: bool = False
    """Whether this request moved the limit; the cookie is then worth sending again."""

    def may_write(self) -> bool:
        """Only an admin changes anything."""
        return self.role is Role.ADMIN


FREE_FAILURES = 5
LONGEST_WAIT_S = 60
KEYS_KEPT = 4096


@dataclass(frozen=True, slots=True)
class _Record:
    failures: int
    blocked_until: float


class Throttle:
    """Counts failures in a row for each (peer, name); times are seconds of one clock.

    The name alone is no key: a stranger's failures must not lock its owner out. Memory is
    bounded; the oldest records are forgotten first.
    """

    def __init__(self) -> None:
        self._records: OrderedDict[tuple[str, str], _Record] = OrderedDict()

    def wait_s(self, peer: str, name: str, *, now: float) -> int:
        """Whole seconds until the next attempt is looked at; 0: at once."""
        record = self._records.get((peer, name))
        wait = 0 if record is None else max(0, ceil(record.blocked_until - now))
        # Longer than any wait can be: the clock was set back, and nobody is to sit that out.
        return wait if wait <= LONGEST_WAIT_S else 0

    def failed(self, peer: str, name: str, *, now: float) -> None:
        """One more failure: after the free ones the wait doubles from a second to a minute."""
        record = self._records.pop((peer, name), _Record(0, now))
        failures = record.failures + 1
        over = failures - FREE_FAILURES
        wait = min(LONGEST_WAIT_S, 2 ** min(over, 16)) if over >= 0 else 0
        self._records[peer, name] = _Record(failures, now + wait)
        if len(self._records) > KEYS_KEPT:
            self._records.popitem(last=False)

    def succeeded(self, peer: str, name: str) -> None:
        """The right password clears the record."""
        self._records.pop((peer, name), None)
