"""Which client is too slow, and whose connection a new one replaces. Pure.

aiohttp sees no request before its head is whole, and waits for the rest, and for a client that does
not read its response, without a limit. Times are any monotonic seconds.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTimeouts:
    """The limits, in seconds."""

    idle_s: float = 120.0
    """Nothing asked: longer than reverse proxies keep a connection in their pool."""
    head_s: float = 15.0
    """From a request's first byte to the end of its head, however steadily it drips."""
    read_s: float = 30.0
    """For an answer, in which its reader takes less than ``read_bytes``."""
    read_bytes: int = 32 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionActivity:
    """What a connection does now, and since when."""

    answering: bool
    """A request is whole and its handler works: waiting is ours, not the client's."""
    quiet_since: float
    """When it was opened, or its last request was answered."""
    head_since: float | None
    """When the first byte of a request came whose head is not whole yet."""
    unread_since: float | None
    """Since when an answer waits for its reader without getting ahead."""


class SlowClient(Enum):
    """Why a connection is ended."""

    IDLE = auto()
    SLOW_HEAD = auto()
    NOT_READING = auto()


def slow_client(
    activity: ConnectionActivity, timeouts: ClientTimeouts, *, now: float
) -> SlowClient | None:
    """What it has done, if it has been waited for long enough."""
    if activity.unread_since is not None and now - activity.unread_since >= timeouts.read_s:
        return SlowClient.NOT_READING
    if activity.answering:
        return None
    if activity.head_since is not None:
        return SlowClient.SLOW_HEAD if now - activity.head_since >= timeouts.head_s else None
    return SlowClient.IDLE if now - activity.quiet_since >= timeouts.idle_s else None


class EvictionOrder(Generic[T]):
    """Whose place a new connection takes; a step costs the same however many there are.

    Those that were never answered go before those that were, and the quietest go first; whoever
    is being answered stays. A client that was idle opens another connection (RFC 9112, 9.5).
    """

    def __init__(self) -> None:
        # A dict keeps the order in which its keys came.
        self._never_answered: dict[T, None] = {}
        self._answered: dict[T, None] = {}

    def opened(self, one: T) -> None:
        """It has asked nothing yet."""
        self._never_answered[one] = None

    def busy(self, one: T) -> None:
        """It has asked, and waits for us."""
        self.closed(one)

    def idle(self, one: T) -> None:
        """It has its answer."""
        self._answered[one] = None

    def closed(self, one: T) -> None:
        """It is gone; nothing happens if it was not there."""
        self._never_answered.pop(one, None)
        self._answered.pop(one, None)

    def next_to_evict(self) -> T | None:
        """None: everybody is being answered."""
        return next(iter(self._never_answered or self._answered), None)
