"""How long a client of ours may dawdle, and who goes first when there is no room.

A client that sends slowly, reads slowly or does nothing costs a descriptor each; these rules
bound for how long. Times are any monotonic seconds.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """The limits, in seconds."""

    idle_s: float = 120.0
    """Nothing asked: longer than reverse proxies keep a connection in their pool."""
    head_s: float = 15.0
    """From a request's first byte to the end of its head, however steadily it drips."""
    read_s: float = 30.0
    """For an answer, in which its reader takes less than ``read_bytes``."""
    read_bytes: int = 32 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Conduct:
    """What a connection does now, and since when."""

    answering: bool
    """A request is whole and its handler works: waiting is ours, not the client's."""
    quiet_since: float
    """When it was opened, or its last request was answered."""
    head_since: float | None
    """When the first byte of a request came whose head is not whole yet."""
    unread_since: float | None
    """Since when an answer waits for its reader without getting ahead."""
    served: bool
    """It has been answered before."""


class Offence(Enum):
    """Why a connection is ended."""

    IDLE = auto()
    SLOW_HEAD = auto()
    NOT_READING = auto()


def offence(conduct: Conduct, patience: Patience, *, now: float) -> Offence | None:
    """What it has done, if it has been waited for long enough."""
    if conduct.unread_since is not None and now - conduct.unread_since >= patience.read_s:
        return Offence.NOT_READING
    if conduct.answering:
        return None
    if conduct.head_since is not None:
        return Offence.SLOW_HEAD if now - conduct.head_since >= patience.head_s else None
    return Offence.IDLE if now - conduct.quiet_since >= patience.idle_s else None


def first_to_go(connections: Iterable[tuple[T, Conduct]]) -> T | None:
    """Whose place a new connection takes; None: everybody is being answered.

    Those that were never answered go before those that were, and the quietest go first. A
    client that was idle opens another connection (RFC 9112, section 9.5).
    """
    idle = [
        (conduct.served, conduct.quiet_since, one)
        for one, conduct in connections
        if not conduct.answering
    ]
    return min(idle, key=lambda row: row[:2])[2] if idle else None
