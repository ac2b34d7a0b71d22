"""Which client is too slow, and which connection a new one replaces. Pure rules.

aiohttp itself has no time limit for the head of a request, or for a client that does not read its
response. Times are monotonic seconds.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTimeouts:
    """The time limits of a client, in seconds."""

    idle_s: float = 120.0
    """Without a request: longer than reverse proxies keep a connection in their pool."""
    head_s: float = 15.0
    """From the first byte of a request to the end of its head, whatever the rate."""
    read_s: float = 30.0
    """While a response is sent, without ``read_bytes`` more bytes read by the client."""
    read_bytes: int = 32 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionActivity:
    """The present state of a connection, with its times."""

    handling: bool
    """The head of a request is complete and its handler runs: the client waits for the server."""
    idle_since: float
    """When the connection was opened, or its last handler ended."""
    head_since: float | None
    """When the first byte of an incomplete head was received; None if there is no such head."""
    blocked_since: float | None
    """Since when the client has read too little of a response; None if no response is blocked."""


class SlowClient(Enum):
    """Why a connection is closed."""

    IDLE = auto()
    SLOW_HEAD = auto()
    NOT_READING = auto()


def slow_client(
    activity: ConnectionActivity, timeouts: ClientTimeouts, *, now: float
) -> SlowClient | None:
    """The limit that the client has reached; None if it has reached none."""
    if activity.blocked_since is not None and now - activity.blocked_since >= timeouts.read_s:
        return SlowClient.NOT_READING
    if activity.handling:
        return None
    if activity.head_since is not None:
        return SlowClient.SLOW_HEAD if now - activity.head_since >= timeouts.head_s else None
    return SlowClient.IDLE if now - activity.idle_since >= timeouts.idle_s else None


class EvictionOrder(Generic[T]):
    """The order in which idle connections are closed for new ones; each step takes constant time.

    Connections without any response are closed first, then those with a response; among each, the
    one that is idle for the longest time. One whose handler runs is not closed. A client may expect
    that an idle connection is closed, and opens another (RFC 9112 section 9.5).
    """

    def __init__(self) -> None:
        # A dict keeps the order of insertion.
        self._without_response: dict[T, None] = {}
        self._with_response: dict[T, None] = {}

    def opened(self, connection: T) -> None:
        """The connection is new."""
        self._without_response[connection] = None

    def busy(self, connection: T) -> None:
        """The handler of a request has started."""
        self.closed(connection)

    def idle(self, connection: T) -> None:
        """The handler of its last request has ended."""
        self._with_response[connection] = None

    def closed(self, connection: T) -> None:
        """Remove the connection; one that is not in the order is ignored."""
        self._without_response.pop(connection, None)
        self._with_response.pop(connection, None)

    def next_to_evict(self) -> T | None:
        """The connection to close for a new one; None if the handler of each one runs."""
        return next(iter(self._without_response or self._with_response), None)
