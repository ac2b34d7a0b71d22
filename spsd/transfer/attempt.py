"""One attempt to fetch an image from one URL: request, judge the response, receive.

What to do is decided in :mod:`spsd.transfer.rules`; here it is done.
"""

import asyncio
import logging
from typing import assert_never

from spsd.clock import Now
from spsd.failures import ApplianceError, FailureCode, JobError
from spsd.storage.files import SPARE_BYTES
from spsd.transfer.parallel import LOOK_S, Parallel
from spsd.transfer.ports import (
    Answer,
    Evidence,
    Fetched,
    Origin,
    Partial,
    Progress,
    Report,
    Staging,
)
from spsd.transfer.rules.body import Opening, Received, judge_body, judge_opening, within
from spsd.transfer.rules.chunks import ALONE, Sample, Splitting, proves
from spsd.transfer.rules.messages import (
    Append,
    Ask,
    AskAgain,
    Compare,
    Complete,
    Reject,
    StartOver,
    Verdict,
    Windows,
)
from spsd.transfer.rules.request import WINDOWS, plan
from spsd.transfer.rules.response import difference, judge

_log = logging.getLogger(__name__)
_DONE = Complete()


class Attempt:
    """One attempt under way; ``notes`` tell what a person should know of how it went."""

    def __init__(
        self,
        url: str,
        partial: Partial,
        report: Report,
        staging: Staging,
        parallel: Parallel,
        splitting: Splitting,
    ) -> None:
        self._url = url
        self._partial = partial
        self._report = report
        self._staging = staging
        self._parallel = parallel
        self._splitting = splitting
        self._sample = Sample(splitting)
        self._asked_at = self._answered_at = 0.0
        self.notes: Evidence = {}
        self.glued = partial.length > 0
        self.surplus = False

    def asks(self) -> None:
        """The next answer is asked for now."""
        self._asked_at = _clock()

    async def take(self, answer: Answer, verdict: Verdict) -> Ask | Complete:
        """Do what the verdict says; gives what to ask next."""
        self._answered_at = _clock()
        match verdict:
            case Complete():
                return _DONE
            case AskAgain():
                return self._again(verdict)
            case Reject(error=error):
                raise error
            case Compare(length=length, then=then):
                found = await self._compared(answer, 0, length)
                return then if found is None else self._again(found)
            case StartOver(total=total, why=why):
                return await self._start_over(answer, total, why)
            case Append(offset=offset, total=total, overlap=overlap):
                found = await self._compared(answer, offset - overlap, overlap)
                if found is not None:
                    return self._again(found)
                return await self._receive(answer, total)
            case _:
                assert_never(verdict)

    def _again(self, verdict: AskAgain) -> Ask:
        _log.info("asking again: %s", verdict.why)
        if verdict.ask.offset == 0:
            self._note(verdict.why)
        return verdict.ask

    def _note(self, why: str) -> None:
        if self._partial.length:
            self.notes.setdefault("started over", why)

    async def _compared(self, answer: Answer, first: int, length: int) -> AskAgain | None:
        """Compare the body's next bytes with those kept."""
        theirs, come = bytearray(length), 0
        while come < length and (size := await answer.read_into(memoryview(theirs)[come:])):
            come += size
        mine = await self._partial.read(first, length)
        return difference(first, mine, bytes(theirs[:come]))

    async def _start_over(self, answer: Answer, total: int | None, why: str) -> Ask | Complete:
        # What is kept goes when there is something better, not when it was only announced.
        room = self._sample.room(await self._partial.room())
        size = await answer.read_into(room)
        media_type, kept = answer.reply.media_type, self._partial.length
        if (error := judge_opening(Opening(media_type, bytes(room[:size]), kept))) is not None:
            raise error
        self._note(why)
        await self._partial.clear()
        self.glued = False
        return await self._receive(answer, total, size)

    async def _receive(self, answer: Answer, total: int | None, come: int = 0) -> Ask | Complete:
        """Append the rest of the body, of which ``come`` bytes are in the partial's room."""
        room = await self._room(total)
        await self._partial.describe(self._url, answer.reply, total)
        await self._report(Progress(self._partial.length, total or 0))
        size = come or await self._read(answer)
        while size and not self.surplus:
            fitting = within(self._partial.length, size, total)
            self.surplus = fitting < size
            await self._append(fitting, total, room)
            rate = self._sample.rate(self._partial.length, _clock())
            if rate is not None and self._splits(answer, rate):
                return await self._split(answer, rate)
            if not self.surplus:
                size = await self._read(answer)
        self._check(Received(self._partial.length, total, room, ended=True))
        return _DONE

    async def _read(self, answer: Answer) -> int:
        return await answer.read_into(self._sample.room(await self._partial.room()))

    def _splits(self, answer: Answer, rate: float) -> bool:
        """Whether other connections are to join now."""
        kept = self._partial.kept(self._url)
        if kept.total is None or not proves(answer.reply, kept):
            return False
        return self._splitting.pays(kept.total - kept.length, rate)

    async def _split(self, answer: Answer, rate: float) -> Ask | Complete:
        self.glued = True
        setup_s = self._answered_at - self._asked_at
        try:
            await self._parallel.run(answer, self._splitting, rate=rate, setup_s=setup_s)
        finally:
            self.notes["connections"] = len(self._parallel.useful)
        return plan(self._partial.kept(self._url))

    async def _append(self, size: int, total: int | None, room: int) -> None:
        self._check(Received(self._partial.length + size, total, room))
        self._partial.commit(size)
        await self._report(Progress(self._partial.length, total or 0))

    def _check(self, received: Received) -> None:
        if (error := judge_body(received)) is not None:
            raise error

    async def _room(self, total: int | None) -> int:
        """How long the partial may become on this disk.

        Raises:
            ApplianceError: the object is known not to fit.
        """
        length = self._partial.length
        free = await self._staging.room_beyond(length) - SPARE_BYTES
        if total is not None and total - length > free:
            raise ApplianceError(
                FailureCode.DISK_FULL,
                "the image does not fit",
                {"needed bytes": total - length, "free bytes": max(0, free)},
            )
        return length + max(0, free)


def _clock() -> float:
    return asyncio.get_running_loop().time()


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
