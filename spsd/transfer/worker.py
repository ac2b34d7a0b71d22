"""Attempts made in the second event loop; their progress comes back to the first.

No block of bytes crosses between the loops, and neither waits for the other: progress is passed on
a few times a second.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from spsd.cancellation import to_completion
from spsd.failures import JobError
from spsd.system.loop_thread import LoopThread
from spsd.transfer.attempt import LocalAttempts
from spsd.transfer.http.origin import HttpOrigin, OriginSettings
from spsd.transfer.ports import Fetched, Partial, Progress, Report
from spsd.transfer.rules.chunks import Splitting


def coalesce(waiting: Sequence[Progress], progress: Progress) -> Sequence[Progress]:
    """What waits to be told, with ``progress`` after it; of each rise only its two ends.

    Where a connection began, and that one started over, is not left out: whose bytes a partial has
    is counted by that.
    """
    if len(waiting) > 1 and waiting[-2].done <= waiting[-1].done <= progress.done:
        return (*waiting[:-1], progress)
    return (*waiting, progress)


REPORT_EVERY_S = 0.05
"""Progress crosses between the loops at most so often."""


class WorkerAttempts:
    """Attempts in a :class:`LoopThread`, in which their ``origin`` was opened."""

    def __init__(
        self,
        thread: LoopThread,
        origin: HttpOrigin,
        attempts: LocalAttempts,
        *,
        report_every_s: float = REPORT_EVERY_S,
    ) -> None:
        self._report_every_s = report_every_s
        self._thread = thread
        self._origin = origin
        self._attempts = attempts

    async def use(self, settings: OriginSettings, splitting: Splitting) -> None:
        """Go on with other settings: see :meth:`HttpOrigin.use` and :meth:`LocalAttempts.use`."""
        await self._thread.run(self._use(settings, splitting))

    async def _use(self, settings: OriginSettings, splitting: Splitting) -> None:
        self._origin.use(settings)
        self._attempts.use(splitting)

    async def attempt(
        self, url: str, partial: Partial, report: Report, *, breaks: int = 0
    ) -> Fetched:
        """Continue the partial: see :meth:`spsd.transfer.ports.Attempts.attempt`.

        The partial is the other loop's until this is over. ``report`` is called in this loop, some
        times a second, and with the last progress before this returns; what it raises ends the
        attempt.
        """
        reports = _Reports(self._report_every_s)
        work = self._attempt(url, partial, reports, breaks)
        fetching = asyncio.create_task(self._thread.run(work), name="attempt")
        fetching.add_done_callback(reports.end)
        try:
            while arrived := await reports.arrived():
                for progress in arrived:
                    await report(progress)
            return await fetching
        finally:
            fetching.cancel()
            await to_completion(_end_of(fetching))

    async def _attempt(
        self, url: str, partial: Partial, reports: "_Reports", breaks: int
    ) -> Fetched:
        try:
            return await self._attempts.attempt(url, partial, reports.post, breaks=breaks)
        finally:
            reports.flush()


async def _end_of(fetching: asyncio.Task[Fetched]) -> None:
    # What nobody expects of it is raised, even after a report that has failed.
    with suppress(asyncio.CancelledError, JobError):
        await fetching


class _Reports:
    """Progress on its way between two loops; each side touches what is its own."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._home = asyncio.get_running_loop()
        self._here: Sequence[Progress] = ()
        self._over = False
        self._news = asyncio.Event()
        self._there: Sequence[Progress] = ()
        self._pause: asyncio.TimerHandle | None = None

    async def arrived(self) -> Sequence[Progress]:
        """At home: what has come since; nothing once all is told."""
        while not (self._here or self._over):
            self._news.clear()
            await self._news.wait()
        here, self._here = self._here, ()
        return here

    def end(self, _: asyncio.Task[Any]) -> None:
        """At home: nothing more will come."""
        self._over = True
        self._news.set()

    def _arrive(self, told: Sequence[Progress]) -> None:
        for progress in told:
            self._here = coalesce(self._here, progress)
        self._news.set()

    async def post(self, progress: Progress) -> None:
        """Over there: have it told soon; waits for nobody."""
        self._there = coalesce(self._there, progress)
        if self._pause is None:
            self._send()

    def flush(self) -> None:
        """Over there: have all of it told at once; there is no more."""
        if self._pause is not None:
            self._pause.cancel()
        self._home.call_soon_threadsafe(self._arrive, self._there)

    def _send(self) -> None:
        self._pause = None
        if self._there:
            told, self._there = self._there, ()
            self._home.call_soon_threadsafe(self._arrive, told)
            self._pause = asyncio.get_running_loop().call_later(self._every_s, self._send)
