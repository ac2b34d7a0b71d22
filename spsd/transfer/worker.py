"""Attempts that run in the second event loop and report their progress to the first.

No block of bytes crosses between the loops, and neither waits for the other: progress is passed a
few times a second.
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
    """The reports that wait, and ``progress`` after them; of each rise only the two ends are kept.

    The start of a connection and a restart from 0 are always kept: the source of each byte is
    derived from them (see :class:`~spsd.transfer.rules.sources.Provenance`).
    """
    if len(waiting) > 1 and waiting[-2].done <= waiting[-1].done <= progress.done:
        return (*waiting[:-1], progress)
    return (*waiting, progress)


REPORT_EVERY_S = 0.05
"""The least time between two transfers of progress from one loop to the other, in seconds."""


class WorkerAttempts:
    """Runs attempts in a :class:`LoopThread`; their ``origin`` was opened in its loop."""

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

    async def change_settings(self, settings: OriginSettings, splitting: Splitting) -> None:
        """Use other settings from now on, for attempts that begin later.

        See :meth:`HttpOrigin.change_settings` and :meth:`LocalAttempts.change_splitting`.
        """
        await self._thread.run(self._change(settings, splitting))

    async def _change(self, settings: OriginSettings, splitting: Splitting) -> None:
        self._origin.change_settings(settings)
        self._attempts.change_splitting(splitting)

    async def attempt(
        self, url: str, partial: Partial, report: Report, *, breaks: int = 0
    ) -> Fetched:
        """Continue the partial: see :meth:`spsd.transfer.ports.Attempts.attempt`.

        The partial belongs to the other loop until this method returns or raises. ``report`` is
        called in the caller's loop, a few times a second, and with the last progress before the
        return; an exception that it raises ends the attempt.
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
    # An unexpected error of the attempt is raised even if a report failed before.
    with suppress(asyncio.CancelledError, JobError):
        await fetching


class _Reports:
    """Progress between two loops: posted in the worker's loop, taken in the caller's loop.

    Each attribute is used by one loop only.
    """

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        # Used by the caller's loop.
        self._caller = asyncio.get_running_loop()
        self._arrived: Sequence[Progress] = ()
        self._ended = False
        self._changed = asyncio.Event()
        # Used by the worker's loop.
        self._posted: Sequence[Progress] = ()
        self._pause: asyncio.TimerHandle | None = None

    async def arrived(self) -> Sequence[Progress]:
        """Caller's loop: wait for new reports and return them; empty after the last one."""
        while not (self._arrived or self._ended):
            self._changed.clear()
            await self._changed.wait()
        arrived, self._arrived = self._arrived, ()
        return arrived

    def end(self, _: asyncio.Task[Any]) -> None:
        """Caller's loop: the attempt has ended, and no report will follow."""
        self._ended = True
        self._changed.set()

    def _arrive(self, reports: Sequence[Progress]) -> None:
        for progress in reports:
            self._arrived = coalesce(self._arrived, progress)
        self._changed.set()

    async def post(self, progress: Progress) -> None:
        """Worker's loop: send the report soon, without waiting for the caller's loop."""
        self._posted = coalesce(self._posted, progress)
        if self._pause is None:
            self._send()

    def flush(self) -> None:
        """Worker's loop: send every waiting report now; it was the last one."""
        if self._pause is not None:
            self._pause.cancel()
        self._caller.call_soon_threadsafe(self._arrive, self._posted)

    def _send(self) -> None:
        self._pause = None
        if self._posted:
            reports, self._posted = self._posted, ()
            self._caller.call_soon_threadsafe(self._arrive, reports)
            self._pause = asyncio.get_running_loop().call_later(self._every_s, self._send)
