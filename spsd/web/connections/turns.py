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
TURN_S: Final = 0.0003
"""Time for new connections in an iteration of the loop; a handshake that has begun is completed."""
OPENED_AT_A_TIME: Final = 2
"""Connections that are opened in one iteration: the work for them follows in the next ones."""


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

    Each address has its turn; among the connections of an address, those of the furthest stage; and
    among those, the newest and the one that waits for the longest time, alternately: the newest
    need not wait for a burst before it, and none waits for ever.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, dict[Stage, dict[T, Callable[[], None]]]] = {}
        self._runs = False
        self._newest = False

    def __len__(self) -> int:
        """The number of connections that wait."""
        return sum(len(each) for stages in self._waiting.values() for each in stages.values())

    def wait(self, connection: T, address: str, stage: Stage, work: Callable[[], None]) -> None:
        """Call ``work`` when it is the turn of this connection of a client at ``address``."""
        stages = self._waiting.setdefault(address, {each: {} for each in Stage})
        stages[stage][connection] = work
        if not self._runs:
            self._runs = True
            asyncio.get_running_loop().call_soon(self._run)

    def discard(self, connection: T, address: str) -> None:
        """The connection is closed: it waits no more."""
        stages = self._waiting.get(address, {})
        for of_stage in stages.values():
            of_stage.pop(connection, None)
        if not any(stages.values()):
            self._waiting.pop(address, None)

    def _run(self) -> None:
        began = time.monotonic()
        opened = 0
        while self._waiting:
            stage, work = self._next()
            work()
            opened += stage is Stage.OPEN
            if opened >= OPENED_AT_A_TIME or time.monotonic() - began >= TURN_S:
                break
        self._runs = bool(self._waiting)
        if self._runs:
            asyncio.get_running_loop().call_soon(self._run)

    def _next(self) -> tuple[Stage, Callable[[], None]]:
        address = next(iter(self._waiting))
        stages = self._waiting.pop(address)
        stage, of_stage = next(each for each in stages.items() if each[1])
        self._newest = not self._newest
        work = of_stage.pop(next(reversed(of_stage) if self._newest else iter(of_stage)))
        if any(stages.values()):
            self._waiting[address] = stages  # behind the other addresses
        return stage, work
