"""New connections take turns, so that the requests of open ones get theirs.

To open a connection costs as much time of the event loop as a request, and a TLS handshake more.
Without turns, connections that arrive together would all be opened in one iteration of the loop.
"""

import asyncio
import time
from collections.abc import Callable, Hashable
from enum import IntEnum, auto
from typing import Final, Generic, TypeVar

T = TypeVar("T", bound=Hashable)
TURN_S: Final = 0.001
"""Time for new connections in one iteration of the loop; work that has begun is completed."""


class Stage(IntEnum):
    """How far a new connection is; the furthest has its turn first."""

    LATER_FLIGHT = auto()
    """Its client has continued the TLS handshake, which a recorded one cannot."""
    FIRST_FLIGHT = auto()
    """The first bytes of the TLS handshake have to be read."""
    OPEN = auto()
    """Its transport has to be made."""


class Turns(Generic[T]):
    """The new connections that wait for their turn.

    Among those of a stage each address has its turn, and among those of an address the newest: if
    more arrive than can be served, those that wait are late in any case.
    """

    def __init__(self) -> None:
        self._waiting: dict[Stage, dict[str, dict[T, Callable[[], None]]]] = {
            stage: {} for stage in Stage
        }
        self._runs = False

    def wait(self, connection: T, address: str, stage: Stage, work: Callable[[], None]) -> None:
        """Call ``work`` when it is the turn of this connection of a client at ``address``."""
        self._waiting[stage].setdefault(address, {})[connection] = work
        if not self._runs:
            self._runs = True
            asyncio.get_running_loop().call_soon(self._run)

    def discard(self, connection: T, address: str) -> None:
        """The connection is closed: it waits no more."""
        for of_stage in self._waiting.values():
            of_address = of_stage.get(address, {})
            if of_address.pop(connection, None) is not None and not of_address:
                del of_stage[address]

    def _run(self) -> None:
        began = time.monotonic()
        while (work := self._next()) is not None:
            work()
            if time.monotonic() - began >= TURN_S:
                break
        self._runs = any(self._waiting.values())
        if self._runs:
            asyncio.get_running_loop().call_soon(self._run)

    def _next(self) -> Callable[[], None] | None:
        of_stage = next((each for each in self._waiting.values() if each), None)
        if of_stage is None:
            return None
        address = next(iter(of_stage))
        of_address = of_stage.pop(address)
        _, work = of_address.popitem()
        if of_address:
            of_stage[address] = of_address  # behind the other addresses
        return work
