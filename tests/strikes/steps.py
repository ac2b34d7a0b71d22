"""The ports of the use cases, wrapped: every call counts as a step, and one of them is struck.

A step is a port's coroutine, or the entering or the leaving of a context that a port gives. The
real adapter does the work; what a strike takes away is the answer, the call itself, or the task
that waits for it.
"""

import asyncio
import errno
import inspect
import os
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from enum import Enum, auto
from typing import Any, assert_never

from spsd.errors import IncompleteRequestBodyError
from spsd.failures import ApplianceError, FailureCode, OriginError
from spsd.system.program_outcome import ProgramNotStarted


class Strike(Enum):
    """What happens at the step that is struck."""

    FAIL_BEFORE = auto()
    """The call raises and has done nothing."""
    FAIL_AFTER = auto()
    """The call has done its work, and raises all the same."""
    FULL = auto()
    """The call raises for want of room, and has done nothing."""
    FAIL_EVER = auto()
    """From here on every call of that name raises."""
    CANCEL_BEFORE = auto()
    """The task is cancelled when it is about to wait."""
    CANCEL_DURING = auto()
    """The task is cancelled while the call is under way: a thread, a statement goes on."""
    CANCEL_AFTER = auto()
    """The task is cancelled when the call is done, and never gets the answer."""
    STOP = auto()
    """A polite stop of the daemon comes while the call is under way."""
    DELETE = auto()
    """A client deletes the job while the call is under way."""
    KILL_BEFORE = auto()
    """The process ends there: no call of that life does anything any more."""
    KILL_AFTER = auto()
    """The process ends when the call has done its work."""


KILLS = {Strike.KILL_BEFORE, Strike.KILL_AFTER}
FAILURES = {Strike.FAIL_BEFORE, Strike.FAIL_AFTER, Strike.FULL, Strike.FAIL_EVER}
BESIDE = {"integrity"}
"""Tasks of the daemon whose calls are no steps: they come whenever they come."""


class Killed(BaseException):
    """The process is gone; nothing catches this."""


class Steps:
    """Counts the steps of a life, and strikes at the ``at``-th; 0 strikes at none.

    ``actions`` is what the life has for the strikes that come from outside of the call. Nothing
    is counted until ``counting`` says so, or ``counts_from`` of the task that makes a call.
    """

    def __init__(self, at: int = 0, how: Strike | None = None, name: str | None = None) -> None:
        self.at = at
        self.how = how
        self.name = name
        self.counting = True
        self.counts_from: Callable[[asyncio.Task[Any]], bool] = lambda _: False
        self.dead = False
        self.struck: str | None = None
        self.error: Exception | None = None
        self.trace: list[str] = []
        self.actions: dict[Strike, Callable[[asyncio.Task[Any]], None]] = {}

    async def around(self, name: str, work: Callable[[], Awaitable[Any]]) -> Any:
        """Do the work as one step, or what the strike makes of it."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        if task.get_name() in BESIDE:
            return await work()
        self.counting = self.counting or self.counts_from(task)
        how = self._enter(name)
        match how:
            case None:
                return await work()
            case Strike.FAIL_BEFORE | Strike.FULL | Strike.FAIL_EVER:
                return self._failed(name, how)
            case Strike.FAIL_AFTER:
                await work()
                return self._failed(name, how)
            case Strike.CANCEL_BEFORE:
                self.actions[how](task)
                await asyncio.sleep(0)
                return await work()
            case Strike.CANCEL_DURING | Strike.STOP | Strike.DELETE:
                # Called when the work waits for the first time.
                loop.call_soon(self.actions[how], task)
                return await work()
            case Strike.CANCEL_AFTER:
                result = await work()
                self.actions[how](task)
                await asyncio.sleep(0)
                return result
            case Strike.KILL_BEFORE:
                raise self._die()
            case Strike.KILL_AFTER:
                await work()
                raise self._die()
            case never:
                assert_never(never)

    def _enter(self, name: str) -> Strike | None:
        if self.dead:
            raise Killed(name)
        if not self.counting:
            return None
        self.trace.append(name)
        hit = name == self.name if self.name is not None else len(self.trace) == self.at
        if not hit:
            return None
        self.struck = name
        return self.how

    def _failed(self, name: str, how: Strike) -> ProgramNotStarted:
        if name == "hooks.run":  # the one port that fails with a value
            return ProgramNotStarted(os.strerror(errno.EIO))
        self.error = failure(name, full=how is Strike.FULL)
        raise self.error

    def _die(self) -> Killed:
        self.dead = True
        self.actions[Strike.KILL_AFTER](asyncio.current_task())
        return Killed()

    @asynccontextmanager
    async def within(
        self, name: str, context: AbstractAsyncContextManager[Any]
    ) -> AsyncIterator[Any]:
        """A context whose two ends are steps; what it gives is a port itself."""
        async with AsyncExitStack() as stack:
            inner = await self.around(name, lambda: stack.enter_async_context(context))
            closing = f"{name}, closing"
            try:
                yield Stepped(INNER[name], inner, self)
            except BaseException:
                # An adapter that fails here as well would hide what is under way, a cancel even.
                if self.how in FAILURES:
                    await stack.aclose()
                else:
                    await self.around(closing, stack.aclose)
                raise
            await self.around(closing, stack.aclose)


INNER = {"staging.open": "partial", "origin.open": "answer"}


class Stepped:
    """A port whose calls are steps; all else is the real one's."""

    def __init__(self, name: str, real: Any, steps: Steps) -> None:
        self._name = name
        self._real = real
        self._steps = steps

    def __getattr__(self, attribute: str) -> Any:
        found = getattr(self._real, attribute)
        if not inspect.ismethod(found):
            return found
        name = f"{self._name}.{attribute}"
        if inspect.iscoroutinefunction(found):
            return lambda *args, **more: self._steps.around(name, lambda: found(*args, **more))
        if name in INNER:
            return lambda *args: self._steps.within(name, found(*args))
        return found


def failure(name: str, *, full: bool) -> Exception:
    """What the port may raise: an adapter's own error, or what SQLite or the system says."""
    what = f"{name} failed: {os.strerror(errno.EIO)}"
    port = name.partition(".")[0]
    if full and port in ("jobs", "staging", "partial", "slots", "choice"):
        return ApplianceError(FailureCode.DISK_FULL, f"{name} failed: {os.strerror(errno.ENOSPC)}")
    match port:
        case "jobs":
            return sqlite3.OperationalError("disk I/O error")
        case "origin" | "answer":
            return OriginError(FailureCode.CUT_OFF, what)
        case "body":
            return IncompleteRequestBodyError(what, field="firmware")
        case _:
            return ApplianceError(FailureCode.DISK, what)


def leaves(error: BaseException) -> list[BaseException]:
    """What is in a group, or the error itself."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in leaves(inner)]
    return [] if isinstance(error, asyncio.CancelledError | Killed) else [error]
