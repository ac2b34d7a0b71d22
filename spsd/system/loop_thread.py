"""A second event loop, in a thread with a lower priority than that of the first loop.

Work that keeps a loop busy runs there, so that the first loop responds to requests without delay.
Values and errors are passed between the two loops; objects that belong to a loop (sockets, events,
tasks) stay in theirs. :func:`measure_lag` measures the delay of both loops. docs/decisions/0019 has
the measurements behind this design.
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
"""The names of the two event loops in the metrics."""
NICE_STEP = 10
"""How much nicer the second thread is than the first one, as in setpriority(2)."""


def lower_priority() -> OSError | None:
    """Lower the priority of the calling thread below that of the process's first thread.

    On Linux each thread has its own niceness, and a new thread inherits that of the thread which
    starts it. Therefore the new value is computed from the first thread, whose id is that of the
    process. Gives the error if the system does not allow it, else None.
    """
    try:
        nice = os.getpriority(os.PRIO_PROCESS, os.getpid()) + NICE_STEP
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)
    except OSError as error:
        return error
    return None


_log = logging.getLogger(__name__)
T = TypeVar("T")


class LoopEndedError(RuntimeError):
    """The second loop has ended, so no work can run there."""


class LoopThread:
    """An event loop in a thread of its own; made and closed by :func:`open_loop_thread`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._ended = asyncio.wrap_future(self._thread.submit(self._run_loop))

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Await ``work`` in the second loop, and give its result or raise its error.

        It returns when the work has ended and not earlier: a cancellation is passed on to the work,
        and its end is waited for.

        Raises:
            LoopEndedError: the second loop has ended, and the work with it.
        """
        run = _RemoteTask(work)
        self._call_soon(run.start)
        cancelled: asyncio.CancelledError | None = None
        while not (run.finished.done() or self._ended.done()):
            try:
                await asyncio.wait((run.finished, self._ended), return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError as error:
                cancelled = error
                self._call_soon(run.cancel)
        if not run.finished.done() or run.raised_exit():
            work.close()
            raise self._as_ended()
        if cancelled is not None and not run.failed_when_cancelled():
            raise cancelled
        return run.result()

    @asynccontextmanager
    async def entered(self, context: AbstractAsyncContextManager[T]) -> AsyncIterator[T]:
        """Enter and exit ``context`` in the second loop; it does not see an error of the body."""
        stack = AsyncExitStack()
        try:
            yield await self.run(stack.enter_async_context(context))
        finally:
            await to_completion(self.run(stack.aclose()))

    async def wait_for_iteration(self) -> None:
        """Wait until the second loop has run one iteration.

        Raises:
            LoopEndedError: the loop has ended.
        """
        await self.run(asyncio.sleep(0))

    async def raise_when_ended(self) -> NoReturn:
        """Wait until the second loop ends.

        Raises:
            LoopEndedError: it has ended.
        """
        await asyncio.wait((self._ended,))
        raise self._as_ended()

    async def close(self) -> None:
        """Cancel everything in the second loop, and end the loop and its thread."""
        self._call_soon(self._stopping.set)
        await asyncio.wait((self._ended,))
        await asyncio.to_thread(self._thread.shutdown)
        if (error := self._ended.exception()) is not None:
            raise self._as_ended() from error

    def _call_soon(self, callback: Callable[[], object]) -> None:
        # RuntimeError: the loop is closed. The callers see that by ``_ended``.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback)

    def _as_ended(self) -> LoopEndedError:
        error = LoopEndedError(f"the event loop {self._name} has ended")
        error.__cause__ = self._ended.exception() if self._ended.done() else None
        return error

    def _run_loop(self) -> None:
        if (refusal := lower_priority()) is not None:
            _log.warning("the thread %s runs without a lower priority: %s", self._name, refusal)
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._until_stopped())

    async def _until_stopped(self) -> None:
        await self._stopping.wait()


@asynccontextmanager
async def open_loop_thread(name: str) -> AsyncIterator[LoopThread]:
    """A loop in a thread called ``name``, until the context ends."""
    thread = LoopThread(name)
    try:
        yield thread
    finally:
        await to_completion(thread.close())


class _RemoteTask(Generic[T]):
    """A coroutine that runs in the second loop; the future ``finished`` belongs to the first."""

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self._work = work
        self._home = asyncio.get_running_loop()
        self._task: asyncio.Task[T] | None = None
        self._cancelled = False
        self.finished: asyncio.Future[asyncio.Task[T]] = self._home.create_future()

    def start(self) -> None:
        """Start the work; called in the second loop."""
        self._task = asyncio.get_running_loop().create_task(self._work)
        self._task.add_done_callback(self._report_end)

    def cancel(self) -> None:
        """Cancel the work, if it has not ended; called in the second loop."""
        if self._task is not None and self._task.cancel():
            self._cancelled = True

    def _report_end(self, task: asyncio.Task[T]) -> None:
        self._home.call_soon_threadsafe(self.finished.set_result, task)

    def raised_exit(self) -> bool:
        """Whether the work raised SystemExit or KeyboardInterrupt, which ends its loop.

        Call it when the work has ended.
        """
        task = self.finished.result()
        return not task.cancelled() and isinstance(task.exception(), SystemExit | KeyboardInterrupt)

    def failed_when_cancelled(self) -> bool:
        """Whether the work was cancelled and then raised another error, which must be raised.

        An error from before the cancellation is dropped, so that the caller is cancelled as
        requested. Call it when the work has ended.
        """
        task = self.finished.result()
        failed = not task.cancelled() and task.exception() is not None
        return self._cancelled and failed

    def result(self) -> T:
        """The result of the work, or its error. Call it when the work has ended."""
        return self.finished.result().result()


LAG_EVERY_S = 1.0


async def measure_lag(
    thread: LoopThread, observe: Callable[[str, float], None], *, every_s: float = LAG_EVERY_S
) -> None:
    """Measure the delay of this loop and of that of ``thread``; it runs until it is cancelled.

    Every ``every_s`` seconds ``observe`` is called for each loop, with its name and its delay in
    seconds.
    """
    while True:
        due = time.monotonic() + every_s
        await asyncio.sleep(every_s)
        woken = time.monotonic()
        observe(REQUESTS, woken - due)
        observe(DOWNLOADS, await thread.run(_monotonic()) - woken)


async def _monotonic() -> float:
    return time.monotonic()
