"""Attempts at an image: ask, judge, do what the verdict says, until all is here.

What to do is decided in :mod:`spsd.domain.resume`; how it is done stands in
:mod:`spsd.services.attempt`.
"""

from dataclasses import dataclass
from typing import Protocol

from spsd.clock import Now
from spsd.domain.asking import WINDOWS
from spsd.domain.chunks import ALONE, Splitting
from spsd.domain.exchange import Complete, Windows
from spsd.domain.resume import judge, plan
from spsd.failures import JobError
from spsd.services.attempt import Attempt, Evidence
from spsd.services.parallel import LOOK_S, Parallel, Report
from spsd.services.ports import Origin, Partial, Staging


@dataclass(frozen=True, slots=True)
class Fetched:
    """All that an origin sent; ``glued`` to what an earlier connection had brought.

    ``surplus``: it sent more than it had announced, which was not taken.
    """

    evidence: Evidence
    notes: Evidence
    media_type: str
    glued: bool
    surplus: bool


class Attempts(Protocol):
    """Whatever makes attempts: a :class:`Download`, here or in another loop."""

    async def attempt(
        self, url: str, partial: Partial, report: Report, *, breaks: int = 0
    ) -> Fetched:
        """Continue the partial: see :meth:`Download.attempt`."""


class Download:
    """Fetches into a partial, over several connections where that pays."""

    def __init__(
        self,
        origin: Origin,
        staging: Staging,
        *,
        now: Now,
        windows: Windows = WINDOWS,
        splitting: Splitting = ALONE,
        look_s: float = LOOK_S,
    ) -> None:
        self._look_s = look_s
        self._origin = origin
        self._staging = staging
        self._now = now
        self._windows = windows
        self._splitting = splitting
        self._under_way = 0

    def use(self, splitting: Splitting) -> None:
        """Split the attempts that begin from now on so."""
        self._splitting = splitting

    async def attempt(
        self, url: str, partial: Partial, report: Report, *, breaks: int = 0
    ) -> Fetched:
        """Continue the partial until the origin has sent all of it.

        After ``breaks`` of the line in a row without a new byte, fewer bytes are compared.
        ``report`` is told how far the download is, after the last block at the latest.

        Raises:
            OriginError: the attempt is over; what has come is kept in the partial.
            ApplianceError: the disk is full or broken.
        """
        windows = self._windows.after(breaks)
        parallel = Parallel(
            self._origin,
            url,
            partial,
            report,
            now=self._now,
            windows=windows,
            look_s=self._look_s,
        )
        self._under_way += 1
        splitting = self._splitting.among(self._under_way)
        run = Attempt(url, partial, report, self._staging, parallel, splitting)
        try:
            return await self._attempt(run, url, partial, windows)
        except JobError as error:
            error.evidence = {**error.evidence, **run.notes}
            raise
        finally:
            self._under_way -= 1

    async def _attempt(self, run: Attempt, url: str, partial: Partial, windows: Windows) -> Fetched:
        ask = plan(partial.kept(url), windows)
        evidence: Evidence = {"kept": "every byte was here already"}
        media_type = ""
        while not isinstance(ask, Complete):
            run.asks()
            async with self._origin.open(url, ask) as answer:
                verdict = judge(
                    ask,
                    partial.kept(url),
                    answer.reply,
                    now=self._now(),
                    windows=windows,
                )
                ask = await run.take(answer, verdict)
                evidence, media_type = dict(answer.evidence), answer.reply.media_type
        return Fetched(evidence | run.notes, run.notes, media_type, run.glued, run.surplus)
