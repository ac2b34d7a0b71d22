"""New connections take turns, so that the requests of open ones get theirs; so do early requests.

To open a connection costs as much time of the event loop as a request, and a TLS handshake more.
Without turns, connections that arrive together would all be opened in one iteration of the loop.
Clients that send requests before they have the responses to earlier ones would keep it busy.
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
EARLY_AT_A_TIME: Final = 2
"""Early requests whose handlers begin at a time."""
EARLY_PAUSE_S: Final = 0.001
"""Pause between these times, in which the event loop waits for events. Threads, such as those of
the database, get the interpreter's lock from a loop that never waits only by chance: one that has a
moment for each system call never has to hand it over."""


class Stage(IntEnum):
    """How far a connection is; the furthest has its turn first."""

    LATER_FLIGHT = auto()
    """Its client has continued the TLS handshake, which a recorded one cannot."""
    FIRST_FLIGHT = auto()
    """The first bytes of the TLS handshake have to be read."""
    OPEN = auto()
    """Its transport has to be made."""
    EARLY_REQUEST = auto()
    """It has sent a request before it had the response to the one before."""


class Turns(Generic[T]):
    """The connections that wait for their turn, of which ``at_a_time`` have it at a time.

    Without a pause ``pause_s`` these times are iterations of the event loop.

    Each address has its turn; among the connections of an address, those of the furthest stage; and
    among those, the newest and the one that waits for the longest time, alternately: the newest
    need not wait for a burst before it, and none waits for ever.
    """

    def __init__(self, at_a_time: int = OPENED_AT_A_TIME, *, pause_s: float = 0) -> None:
        self._at_a_time = at_a_time
        self._pause_s = pause_s
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
            asyncio.get_running_loop().call_later(self._pause_s, self._run)

    def discard(self, connection: T, address: str) -> None:
        """The connection is closed: it waits no more."""
        stages = self._waiting.get(address, {})
        for of_stage in stages.values():
            of_stage.pop(connection, None)
        if not any(stages.values()):
            self._waiting.pop(address, None)

    def _run(self) -> None:
        began = time.monotonic()
        begun = 0
        while self._waiting:
            stage, work = self._next()
            work()
            begun += stage in (Stage.OPEN, Stage.EARLY_REQUEST)
            if begun >= self._at_a_time or time.monotonic() - began >= TURN_S:
                break
        self._runs = bool(self._waiting)
        if self._runs:
            asyncio.get_running_loop().call_later(self._pause_s, self._run)

    def _next(self) -> tuple[Stage, Callable[[], None]]:
        address = next(iter(self._waiting))
        stages = self._waiting.pop(address)
        stage, of_stage = next(each for each in stages.items() if each[1])
        self._newest = not self._newest
        work = of_stage.pop(next(reversed(of_stage) if self._newest else iter(of_stage)))
        if any(stages.values()):
            self._waiting[address] = stages  # behind the other addresses
        return stage, work
