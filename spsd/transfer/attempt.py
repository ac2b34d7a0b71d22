"""One attempt to fetch an image from one URL: request, judge the response, receive.

What to do is decided in :mod:`spsd.transfer.rules`; here it is done.
"""

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, assert_never

from spsd.clock import Now
from spsd.failures import ApplianceError, FailureCode, JobError
from spsd.storage.files import SPARE_BYTES
from spsd.transfer.parallel import LOOK_S, Parallel
from spsd.transfer.ports import (
    Evidence,
    Fetched,
    Origin,
    OriginResponse,
    Partial,
    Progress,
    Report,
    Staging,
)
from spsd.transfer.rules.body import Opening, Received, judge_body, judge_opening, within
from spsd.transfer.rules.chunks import ALONE, Sample, Splitting, can_split
from spsd.transfer.rules.messages import (
    Append,
    Compare,
    Complete,
    RangeRequest,
    Reject,
    RequestAgain,
    ResponseDecision,
    Restart,
    Windows,
)
from spsd.transfer.rules.request import WINDOWS, plan
from spsd.transfer.rules.response import difference, judge

_log = logging.getLogger(__name__)
_DONE = Complete()


class LocalAttempts:
    """Makes attempts in the loop that asks for them; all of them share what is set here."""

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
        self.origin = origin
        self.staging = staging
        self.now = now
        self.windows = windows
        self.look_s = look_s
        self._splitting = splitting
        self._under_way = 0

    def use(self, splitting: Splitting) -> None:
        """Split the attempts that begin from now on so."""
        self._splitting = splitting

    @contextmanager
    def sharing(self) -> Iterator[Splitting]:
        """One attempt more is under way; gives its share of connections and memory."""
        self._under_way += 1
        try:
            yield self._splitting.among(self._under_way)
        finally:
            self._under_way -= 1

    def attempt(
        self, url: str, partial: Partial, report: Report, *, breaks: int = 0
    ) -> Coroutine[Any, Any, Fetched]:
        """Continue the partial: see :meth:`spsd.transfer.ports.Attempts.attempt`."""
        return Attempt(self, url, partial, report, breaks=breaks).run()


class Attempt:
    """One attempt: the requests to one URL until the partial is complete or an error ends it."""

    def __init__(
        self, shared: LocalAttempts, url: str, partial: Partial, report: Report, *, breaks: int
    ) -> None:
        self._shared = shared
        self._url = url
        self._partial = partial
        self._report = report
        self._windows = shared.windows.after(breaks)
        self._splitting = ALONE
        self._sample = Sample(ALONE)
        self._parallel = Parallel(
            shared.origin,
            url,
            partial,
            report,
            now=shared.now,
            windows=self._windows,
            look_s=shared.look_s,
        )
        self._asked_at = self._answered_at = 0.0
        self._notes: Evidence = {}
        """What a person should know of how it went."""
        self._mixed = partial.length > 0
        self._surplus = False

    async def run(self) -> Fetched:
        """Request and receive until the origin has sent all of the object.

        Raises:
            OriginError: the attempt is over; the bytes that have come stay in the partial.
            ApplianceError: the disk is full or broken.
        """
        evidence: Evidence = {"resumed": "every byte was on disk already"}
        media_type = ""
        with self._shared.sharing() as self._splitting:
            self._sample = Sample(self._splitting)
            request = plan(self._partial.prefix(self._url), self._windows)
            try:
                while not isinstance(request, Complete):
                    self._asked_at = _clock()
                    async with self._shared.origin.open(self._url, request) as response:
                        self._answered_at = _clock()
                        evidence, media_type = dict(response.evidence), response.head.media_type
                        match self._judge(request, response):
                            case Complete():
                                request = _DONE
                            case RequestAgain() as verdict:
                                request = self._request_again(verdict)
                            case Reject(error=error):
                                raise error
                            case Compare(length=length, then=then):
                                found = await self._compare(response, 0, length)
                                request = then if found is None else self._request_again(found)
                            case Restart(total=total, why=why):
                                received = await self._restart(response, why)
                                request = await self._receive(response, total, received)
                            case Append(offset=offset, total=total, overlap=overlap):
                                found = await self._compare(response, offset - overlap, overlap)
                                if found is None:
                                    request = await self._receive(response, total)
                                else:
                                    request = self._request_again(found)
                            case verdict:
                                assert_never(verdict)
            except JobError as error:
                error.evidence = {**error.evidence, **self._notes}
                raise
        return Fetched(evidence | self._notes, self._notes, media_type, self._mixed, self._surplus)

    def _judge(self, request: RangeRequest, response: OriginResponse) -> ResponseDecision:
        prefix = self._partial.prefix(self._url)
        return judge(request, prefix, response.head, now=self._shared.now(), windows=self._windows)

    def _request_again(self, verdict: RequestAgain) -> RangeRequest:
        _log.info("asking again: %s", verdict.why)
        if verdict.request.offset == 0:
            self._note(verdict.why)
        return verdict.request

    def _note(self, why: str) -> None:
        if self._partial.length:
            self._notes.setdefault("started over", why)

    async def _compare(
        self, response: OriginResponse, first: int, length: int
    ) -> RequestAgain | None:
        """Compare the body's next bytes with those kept."""
        theirs, received = bytearray(length), 0
        while received < length and (
            size := await response.read_into(memoryview(theirs)[received:])
        ):
            received += size
        mine = await self._partial.read(first, length)
        return difference(first, mine, bytes(theirs[:received]))

    async def _restart(self, response: OriginResponse, why: str) -> int:
        """Clear the partial for this body; gives how many bytes of it are in the room already."""
        # What is kept goes when there is something better, not when it was only announced.
        room = self._sample.room(await self._partial.room())
        size = await response.read_into(room)
        media_type, prefix = response.head.media_type, self._partial.length
        if (error := judge_opening(Opening(media_type, bytes(room[:size]), prefix))) is not None:
            raise error
        self._note(why)
        await self._partial.clear()
        self._mixed = False
        return size

    async def _receive(
        self, response: OriginResponse, total: int | None, received: int = 0
    ) -> RangeRequest | Complete:
        """Append the rest of the body, of which ``come`` bytes are in the partial's room."""
        room = await self._room(total)
        await self._partial.describe(self._url, response.head, total)
        await self._report(Progress(self._partial.length, total or 0))
        size = received or await response.read_into(await self._next_room())
        while size and not self._surplus:
            fitting = within(self._partial.length, size, total)
            self._surplus = fitting < size
            await self._append(fitting, total, room)
            rate = self._sample.rate(self._partial.length, _clock())
            if rate is not None and self._should_split(response, rate):
                return await self._split(response, rate)
            if not self._surplus:
                size = await response.read_into(await self._next_room())
        self._check(Received(self._partial.length, total, room, ended=True))
        return _DONE

    async def _next_room(self) -> memoryview:
        return self._sample.room(await self._partial.room())

    def _should_split(self, response: OriginResponse, rate: float) -> bool:
        """Whether other connections are to join now."""
        prefix = self._partial.prefix(self._url)
        if prefix.total is None or not can_split(response.head, prefix):
            return False
        return self._splitting.is_worthwhile(prefix.total - prefix.length, rate)

    async def _split(self, response: OriginResponse, rate: float) -> RangeRequest | Complete:
        self._mixed = True
        setup_s = self._answered_at - self._asked_at
        parallel = self._parallel
        try:
            await parallel.run(response, self._splitting, rate=rate, setup_s=setup_s)
        finally:
            self._notes["connections"] = len(parallel.useful)
        return plan(self._partial.prefix(self._url))

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
        free = await self._shared.staging.room_beyond(length) - SPARE_BYTES
        if total is not None and total - length > free:
            raise ApplianceError(
                FailureCode.DISK_FULL,
                "the image does not fit",
                {"needed bytes": total - length, "free bytes": max(0, free)},
            )
        return length + max(0, free)


def _clock() -> float:
    return asyncio.get_running_loop().time()
