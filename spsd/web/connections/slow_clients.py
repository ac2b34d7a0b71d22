"""Which client is too slow, and which connection a new one replaces. Pure rules.

aiohttp itself has no time limit for the head of a request, or for a client that does not read its
response. Times are monotonic seconds.
"""

from collections import Counter
from dataclasses import dataclass
from enum import Enum, IntEnum, auto
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


class Standing(IntEnum):
    """What a connection does. One of the first kind is closed first for a new one."""

    SILENT = auto()
    """It has sent nothing."""
    NOT_READING = auto()
    """It has a response, and does not read it as fast as it is sent."""
    NO_RESPONSE = auto()
    """Its handshake or its first request is incomplete."""
    IDLE = auto()
    """It has had a response, and has no request."""


class EvictionOrder(Generic[T]):
    """The order in which connections are closed for new ones.

    A connection of the first standing is closed first; among those, one of the address that has
    the most connections of any standing; among those, the one that has this standing for the
    longest time. A standing is spared while it has ``spared`` connections at most and another has
    more: otherwise idle connections could leave a new one too little time for its first bytes.

    A connection whose handler runs and whose client reads is not closed. A client may expect that
    an idle connection is closed, and opens another (RFC 9112 section 9.5).
    """

    def __init__(self, *, spared: int = 0) -> None:
        self._spared = spared
        self._addresses: Counter[str] = Counter()
        self._address: dict[T, str] = {}
        self._standing: dict[T, Standing] = {}
        # A dict keeps the order of insertion.
        self._queues: dict[Standing, dict[str, dict[T, None]]] = {each: {} for each in Standing}
        self._sizes: Counter[Standing] = Counter()

    def __len__(self) -> int:
        """The number of open connections, those that are not to be closed included."""
        return len(self._address)

    def opened(self, connection: T, address: str) -> None:
        """A client at ``address`` has opened the connection."""
        self._address[connection] = address
        self._addresses[address] += 1
        self.place(connection, Standing.SILENT)

    def place(self, connection: T, standing: Standing | None) -> None:
        """The connection now has this standing; None: it must not be closed.

        A connection that is closed, or was never opened, is ignored.
        """
        if connection not in self._address:
            return
        self._leave(connection)
        if standing is not None:
            self._standing[connection] = standing
            of_address = self._queues[standing].setdefault(self._address[connection], {})
            of_address[connection] = None
            self._sizes[standing] += 1

    def closed(self, connection: T) -> None:
        """Remove the connection; one that is not in the order is ignored."""
        if connection not in self._address:
            return
        self._leave(connection)
        address = self._address.pop(connection)
        self._addresses[address] -= 1
        if not self._addresses[address]:
            del self._addresses[address]

    def next_to_evict(self, standing: Standing | None = None) -> T | None:
        """The connection to close for a new one; None if none may be closed.

        With a ``standing``, that of the connections of this standing.
        """
        queues = self._queues[standing or self._next_standing()]
        if not queues:
            return None
        address = max(queues, key=self._addresses.__getitem__)
        return next(iter(queues[address]))

    def _next_standing(self) -> Standing:
        more_than_spared = (each for each in Standing if self._sizes[each] > self._spared)
        any_at_all = (each for each in Standing if self._sizes[each])
        return next(more_than_spared, None) or next(any_at_all, Standing.SILENT)

    def _leave(self, connection: T) -> None:
        standing = self._standing.pop(connection, None)
        if standing is None:
            return
        self._sizes[standing] -= 1
        queues, address = self._queues[standing], self._address[connection]
        del queues[address][connection]
        if not queues[address]:
            del queues[address]
