"""How long a client of ours may dawdle, and who goes first when there is no room.

A client that sends slowly, reads slowly or does nothing costs a descriptor each; these rules
bound for how long. Times are any monotonic seconds.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Generic, TypeVar

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


class Order(Generic[T]):
    """Whose place a new connection takes; a step costs the same however many there are.

    Those that were never answered go before those that were, and the quietest go first; whoever
    is being answered stays. A client that was idle opens another connection (RFC 9112, 9.5).
    """

    def __init__(self) -> None:
        # A dict keeps the order in which its keys came.
        self._never_answered: dict[T, None] = {}
        self._answered: dict[T, None] = {}

    def arrived(self, one: T) -> None:
        """It has asked nothing yet."""
        self._never_answered[one] = None

    def is_answered(self, one: T) -> None:
        """It has asked, and waits for us."""
        self.left(one)

    def rests(self, one: T) -> None:
        """It has its answer."""
        self._answered[one] = None

    def left(self, one: T) -> None:
        """It is gone; nothing happens if it was not there."""
        self._never_answered.pop(one, None)
        self._answered.pop(one, None)

    def first_to_go(self) -> T | None:
        """None: everybody is being answered."""
        return next(iter(self._never_answered or self._answered), None)
