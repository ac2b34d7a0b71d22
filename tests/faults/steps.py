"""Wrapped ports: every call counts as a step, and a fault is injected at one of them.

A step is a call of a port's coroutine, or the entry or exit of a context that a port returns. The
real adapter does the work; a fault takes away the result, the call itself, or the calling task.
"""

import asyncio
import errno
import inspect
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from enum import Enum, auto
from typing import Any, assert_never

from spsd.errors import IncompleteRequestBodyError
from spsd.failures import ApplianceError, FailureCode, OriginError
from spsd.storage.faults import DatabaseError, DatabaseFault
from spsd.system.program_outcome import ProgramNotStarted


class Fault(Enum):
    """What happens at the chosen step."""

    FAIL_BEFORE = auto()
    """The call raises without doing its work."""
    FAIL_AFTER = auto()
    """The call does its work, then raises."""
    FULL = auto()
    """The call raises because the disk is full, without doing its work."""
    FAIL_EVER = auto()
    """Every call of that name raises."""
    CANCEL_BEFORE = auto()
    """The task is cancelled just before the call."""
    CANCEL_DURING = auto()
    """The task is cancelled during the call; its thread or SQL statement continues."""
    CANCEL_AFTER = auto()
    """The task is cancelled after the call, and does not get the result."""
    STOP = auto()
    """The daemon is stopped gracefully during the call."""
    DELETE = auto()
    """A client deletes the job during the call."""
    KILL_BEFORE = auto()
    """The process ends before the call: no later call of this run has an effect."""
    KILL_AFTER = auto()
    """The process ends after the call."""


KILLS = {Fault.KILL_BEFORE, Fault.KILL_AFTER}
FAILURES = {Fault.FAIL_BEFORE, Fault.FAIL_AFTER, Fault.FULL, Fault.FAIL_EVER}
UNCOUNTED_TASKS = {"integrity"}
"""Tasks of the daemon whose calls are not counted, because their time is not deterministic."""


class Killed(BaseException):
    """The process was killed; no handler catches this."""


class Steps:
    """Counts the steps of a run and injects the fault ``how`` at the ``at``-th; 0: at none.

    With ``name`` the fault is injected at every call of that name instead. ``actions`` are the
    run's functions for faults from outside of the call. Counting begins when ``counting`` is set,
    or when ``counts_from`` returns true for the task that makes a call.
    """

    def __init__(self, at: int = 0, how: Fault | None = None, name: str | None = None) -> None:
        self.at = at
        self.how = how
        self.name = name
        self.counting = True
        self.counts_from: Callable[[asyncio.Task[Any]], bool] = lambda _: False
        self.is_killed = False
        self.faulty_call: str | None = None
        self.error: Exception | None = None
        self.trace: list[str] = []
        self.actions: dict[Fault, Callable[[asyncio.Task[Any]], None]] = {}

    async def around(self, name: str, work: Callable[[], Awaitable[Any]]) -> Any:
        """Do the work as one step, with the fault if it is due."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        if task.get_name() in UNCOUNTED_TASKS:
            return await work()
        self.counting = self.counting or self.counts_from(task)
        how = self._enter(name)
        match how:
            case None:
                return await work()
            case Fault.FAIL_BEFORE | Fault.FULL | Fault.FAIL_EVER:
                return self._failed(name, how)
            case Fault.FAIL_AFTER:
                await work()
                return self._failed(name, how)
            case Fault.CANCEL_BEFORE:
                self.actions[how](task)
                await asyncio.sleep(0)
                return await work()
            case Fault.CANCEL_DURING | Fault.STOP | Fault.DELETE:
                # The action runs when the work waits for the first time.
                loop.call_soon(self.actions[how], task)
                return await work()
            case Fault.CANCEL_AFTER:
                result = await work()
                self.actions[how](task)
                await asyncio.sleep(0)
                return result
            case Fault.KILL_BEFORE:
                raise self._die()
            case Fault.KILL_AFTER:
                await work()
                raise self._die()
            case never:
                assert_never(never)

    def _enter(self, name: str) -> Fault | None:
        if self.is_killed:
            raise Killed(name)
        if not self.counting:
            return None
        self.trace.append(name)
        hit = name == self.name if self.name is not None else len(self.trace) == self.at
        if not hit:
            return None
        self.faulty_call = name
        return self.how

    def _failed(self, name: str, how: Fault) -> ProgramNotStarted:
        if name == "hooks.run":  # the only port that reports failure with a value
            return ProgramNotStarted(os.strerror(errno.EIO))
        self.error = failure(name, full=how is Fault.FULL)
        raise self.error

    def _die(self) -> Killed:
        self.is_killed = True
        self.actions[Fault.KILL_AFTER](asyncio.current_task())
        return Killed()

    @asynccontextmanager
    async def within(
        self, name: str, context: AbstractAsyncContextManager[Any]
    ) -> AsyncIterator[Any]:
        """A context whose entry and exit are steps; its value is wrapped as a port."""
        async with AsyncExitStack() as stack:
            inner = await self.around(name, lambda: stack.enter_async_context(context))
            closing = f"{name}, closing"
            try:
                yield Stepped(INNER[name], inner, self)
            except BaseException:
                # A second failure here would hide the current exception, even a cancel.
                if self.how in FAILURES:
                    await stack.aclose()
                else:
                    await self.around(closing, stack.aclose)
                raise
            await self.around(closing, stack.aclose)


INNER = {"staging.open": "partial", "origin.open": "answer"}


class Stepped:
    """A port whose calls are steps; other attributes are those of the real port."""

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
    """An error that the port may raise."""
    what = f"{name} failed: {os.strerror(errno.EIO)}"
    port = name.partition(".")[0]
    if full and port in ("jobs", "staging", "partial", "slots", "choice"):
        return ApplianceError(FailureCode.DISK_FULL, f"{name} failed: {os.strerror(errno.ENOSPC)}")
    match port:
        case "jobs":
            return DatabaseError(DatabaseFault.UNREADABLE, name, "disk I/O error")
        case "origin" | "answer":
            return OriginError(FailureCode.CUT_OFF, what)
        case "body":
            return IncompleteRequestBodyError(what, field="firmware")
        case _:
            return ApplianceError(FailureCode.DISK, what)


def leaves(error: BaseException) -> list[BaseException]:
    """The errors in a group, or the error itself, without cancels and kills."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in leaves(inner)]
    return [] if isinstance(error, asyncio.CancelledError | Killed) else [error]
