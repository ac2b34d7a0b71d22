"""A second event loop, in a thread with a lower priority than the first one's.

What keeps a loop busy for long goes there, so that the first one answers at once. Values and errors
cross between the two; what belongs to a loop (sockets, events, tasks) stays where it is.
:func:`watch_lag` measures how late both loops are. (docs/decisions/0019 has the measurements.)
"""

import asyncio
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Generic, NoReturn, TypeVar

from spsd.cancellation import to_completion

REQUESTS, DOWNLOADS = "requests", "downloads"
"""The two event loops (docs/decisions/0019)."""
STEP = 10


def lower_priority() -> OSError | None:
    """Make the calling thread nicer than the daemon's first one; gives the system's refusal.

    Linux counts niceness by thread, and a thread is born with that of whoever starts it: so the
    measure is the first thread, whose id is the process's.
    """
    try:
        nice = os.getpriority(os.PRIO_PROCESS, os.getpid()) + STEP
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)
    except OSError as error:
        return error
    return None


_log = logging.getLogger(__name__)
T = TypeVar("T")


class LoopEndedError(RuntimeError):
    """The second loop does not turn any more: nothing can be done there."""


class LoopThread:
    """A loop that turns in a thread of its own; :func:`open_loop_thread` owns it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._ended = asyncio.wrap_future(self._thread.submit(self._run_loop))

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Await ``work`` over there, as if it were here.

        It returns when the work is over and not before: a cancel is passed on, and waited for.
        What the work raises comes through as it is.

        Raises:
            LoopEndedError: the loop has ended, and the work with it.
        """
        run = _RemoteTask(work)
        self._call_soon(run.start)
        cancelled: asyncio.CancelledError | None = None
        while not (run.over.done() or self._ended.done()):
            try:
                await asyncio.wait((run.over, self._ended), return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError as error:
                cancelled = error
                self._call_soon(run.cancel)
        if not run.over.done() or run.ended_the_loop():
            work.close()
            raise self._as_ended()
        if cancelled is not None and not run.failed_when_cancelled():
            raise cancelled
        return run.result()

    @asynccontextmanager
    async def entered(self, context: AbstractAsyncContextManager[T]) -> AsyncIterator[T]:
        """Open ``context`` over there, and close it there; how its body ends is not told to it."""
        stack = AsyncExitStack()
        try:
            yield await self.run(stack.enter_async_context(context))
        finally:
            await to_completion(self.run(stack.aclose()))

    async def wait_for_iteration(self) -> None:
        """Wait until the loop has turned.

        Raises:
            LoopEndedError: it never will.
        """
        await self.run(asyncio.sleep(0))

    async def watch(self) -> NoReturn:
        """Wait for an end that nobody asked for.

        Raises:
            LoopEndedError: there it is.
        """
        await asyncio.wait((self._ended,))
        raise self._as_ended()

    async def close(self) -> None:
        """Let the loop end, with all that runs there, and the thread."""
        self._call_soon(self._stopping.set)
        await asyncio.wait((self._ended,))
        await asyncio.to_thread(self._thread.shutdown)
        if (error := self._ended.exception()) is not None:
            raise self._as_ended() from error

    def _call_soon(self, what: Callable[[], object]) -> None:
        # A loop that is closed says so; whoever waits here sees it by its end.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(what)

    def _as_ended(self) -> LoopEndedError:
        error = LoopEndedError(f"the event loop {self._name} has ended")
        error.__cause__ = self._ended.exception() if self._ended.done() else None
        return error

    def _run_loop(self) -> None:
        if (refusal := lower_priority()) is not None:
            _log.warning("the thread %s cannot give way to requests: %s", self._name, refusal)
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._until_stopped())

    async def _until_stopped(self) -> None:
        await self._stopping.wait()


@asynccontextmanager
async def open_loop_thread(name: str) -> AsyncIterator[LoopThread]:
    """A loop in a thread of that name, for as long as the context lasts."""
    thread = LoopThread(name)
    try:
        yield thread
    finally:
        await to_completion(thread.close())


class _RemoteTask(Generic[T]):
    """A coroutine that runs in the other loop. ``over`` is this loop's."""

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self._work = work
        self._home = asyncio.get_running_loop()
        self._task: asyncio.Task[T] | None = None
        self._cancelled = False
        self.over: asyncio.Future[asyncio.Task[T]] = self._home.create_future()

    def start(self) -> None:
        """Over there: begin."""
        self._task = asyncio.get_running_loop().create_task(self._work)
        self._task.add_done_callback(self._report_end)

    def cancel(self) -> None:
        """Over there: cancel it, if it is not over."""
        if self._task is not None and self._task.cancel():
            self._cancelled = True

    def _report_end(self, task: asyncio.Task[T]) -> None:
        self._home.call_soon_threadsafe(self.over.set_result, task)

    def ended_the_loop(self) -> bool:
        """Once over: it raised what ends every loop, which is to end this one politely."""
        task = self.over.result()
        return not task.cancelled() and isinstance(task.exception(), SystemExit | KeyboardInterrupt)

    def failed_when_cancelled(self) -> bool:
        """Once over: a cancel reached it, and it raised something else.

        An error from before goes down: whoever is cancelled is not to go on because of it.
        """
        task = self.over.result()
        failed = not task.cancelled() and task.exception() is not None
        return self._cancelled and failed

    def result(self) -> T:
        """Once over: what came of it."""
        return self.over.result().result()


EVERY_S = 1.0


async def watch_lag(
    thread: LoopThread, note: Callable[[str, float], None], *, every_s: float = EVERY_S
) -> None:
    """Tell for ever how late they are, in seconds: this loop, and that of ``thread``."""
    while True:
        due = time.monotonic() + every_s
        await asyncio.sleep(every_s)
        asked = time.monotonic()
        note(REQUESTS, asked - due)
        note(DOWNLOADS, await thread.run(_monotonic()) - asked)


async def _monotonic() -> float:
    return time.monotonic()
