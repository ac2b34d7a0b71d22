"""One attempt to fetch an image from one URL: request, judge the response, receive the body.

The decisions are in :mod:`spsd.transfer.rules`; this module carries them out.
"""

import logging
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, assert_never

from spsd.clock import Now, loop_time
from spsd.failures import ApplianceError, FailureCode, JobError
from spsd.storage.files import SPARE_BYTES
from spsd.transfer.parallel import IDLE_CHECK_S, Parallel
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
from spsd.transfer.rules.body import Opening, Received, bytes_within, judge_body, judge_opening
from spsd.transfer.rules.chunks import ONE_CONNECTION, Sample, Splitting, can_split
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
    """Runs attempts in the caller's event loop; they share the connections' settings and memory.

    ``now`` is the wall clock in epoch seconds, ``idle_check_s`` see
    :data:`~spsd.transfer.parallel.IDLE_CHECK_S`.
    """

    def __init__(
        self,
        origin: Origin,
        staging: Staging,
        *,
        now: Now,
        windows: Windows = WINDOWS,
        splitting: Splitting = ONE_CONNECTION,
        idle_check_s: float = IDLE_CHECK_S,
    ) -> None:
        self.origin = origin
        self.staging = staging
        self.now = now
        self.windows = windows
        self.idle_check_s = idle_check_s
        self._splitting = splitting
        self._under_way = 0

    def change_splitting(self, splitting: Splitting) -> None:
        """Use other settings for several connections in attempts that begin from now on."""
        self._splitting = splitting

    @contextmanager
    def sharing(self) -> Iterator[Splitting]:
        """Count one more running attempt, and return its share of the line and the memory."""
        self._under_way += 1
        try:
            yield self._splitting.shared_by(self._under_way)
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
        self._windows = shared.windows.shrunk(breaks)
        self._splitting = ONE_CONNECTION
        self._sample = Sample(ONE_CONNECTION)
        self._parallel = Parallel(
            shared.origin,
            url,
            partial,
            report,
            now=shared.now,
            windows=self._windows,
            idle_check_s=shared.idle_check_s,
        )
        self._requested_at = self._head_at = 0.0
        self._notes: Evidence = {}
        """Remarks on the attempt, for the job's history."""
        self._mixed = partial.length > 0
        self._surplus = False

    async def run(self) -> Fetched:
        """Request and receive until the partial has every byte of the object.

        Raises:
            OriginError: the attempt failed; the bytes received so far stay in the partial.
            ApplianceError: the disk is full or broken.
        """
        evidence: Evidence = {"resumed": "every byte was on disk already"}
        media_type = ""
        with self._shared.sharing() as self._splitting:
            self._sample = Sample(self._splitting)
            request = plan(self._partial.prefix(self._url), self._windows)
            try:
                while not isinstance(request, Complete):
                    self._requested_at = loop_time()
                    async with self._shared.origin.open(self._url, request) as response:
                        self._head_at = loop_time()
                        evidence, media_type = dict(response.evidence), response.head.media_type
                        match self._judge(request, response):
                            case Complete():
                                request = _DONE
                            case RequestAgain() as verdict:
                                request = self._request_again(verdict)
                            case Reject(error=error):
                                raise error
                            case Compare(length=length, then=then):
                                changed = await self._compare(response, 0, length)
                                request = then if changed is None else self._request_again(changed)
                            case Restart(total=total, why=why):
                                received = await self._restart(response, why)
                                request = await self._receive(response, total, received)
                            case Append(offset=offset, total=total, overlap=overlap):
                                changed = await self._compare(response, offset - overlap, overlap)
                                if changed is None:
                                    request = await self._receive(response, total)
                                else:
                                    request = self._request_again(changed)
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
        _log.info("requesting again: %s", verdict.why)
        if verdict.request.offset == 0:
            self._note(verdict.why)
        return verdict.request

    def _note(self, why: str) -> None:
        if self._partial.length:
            self._notes.setdefault("started over", why)

    async def _compare(
        self, response: OriginResponse, first: int, length: int
    ) -> RequestAgain | None:
        """Compare the body's next ``length`` bytes with the partial's from ``first`` on."""
        theirs, received = bytearray(length), 0
        while received < length and (
            size := await response.read_into(memoryview(theirs)[received:])
        ):
            received += size
        mine = await self._partial.read(first, length)
        return difference(first, mine, bytes(theirs[:received]))

    async def _restart(self, response: OriginResponse, why: str) -> int:
        """Clear the partial for this body; returns how many of its bytes are in the buffer."""
        # The bytes on disk are discarded only when the first bytes of the new body are here: a
        # response that announces a body may never send it.
        buffer = await self._next_buffer()
        size = await response.read_into(buffer)
        media_type, prefix = response.head.media_type, self._partial.length
        if (error := judge_opening(Opening(media_type, bytes(buffer[:size]), prefix))) is not None:
            raise error
        self._note(why)
        await self._partial.clear()
        self._mixed = False
        return size

    async def _receive(
        self, response: OriginResponse, total: int | None, received: int = 0
    ) -> RangeRequest | Complete:
        """Append the rest of the body, of which ``received`` bytes are in the partial's buffer.

        Returns ``Complete``, or the next request after several connections have fetched a part.
        """
        disk_limit = await self._disk_limit(total)
        await self._partial.describe(self._url, response.head, total)
        await self._report(Progress(self._partial.length, total or 0))
        size = received or await response.read_into(await self._next_buffer())
        while size and not self._surplus:
            fitting = bytes_within(self._partial.length, size, total)
            self._surplus = fitting < size
            await self._append(fitting, total, disk_limit)
            rate = self._sample.rate(self._partial.length, loop_time())
            if rate is not None and self._should_split(response, rate):
                return await self._split(response, rate)
            if not self._surplus:
                size = await response.read_into(await self._next_buffer())
        self._check(Received(self._partial.length, total, disk_limit, ended=True))
        return _DONE

    async def _next_buffer(self) -> memoryview:
        return self._sample.limited(await self._partial.buffer())

    def _should_split(self, response: OriginResponse, rate: float) -> bool:
        """Whether other connections join now."""
        prefix = self._partial.prefix(self._url)
        if prefix.total is None or not can_split(response.head, prefix):
            return False
        return self._splitting.is_worthwhile(prefix.total - prefix.length, rate)

    async def _split(self, response: OriginResponse, rate: float) -> RangeRequest | Complete:
        self._mixed = True
        setup_s = self._head_at - self._requested_at
        parallel = self._parallel
        try:
            await parallel.run(response, self._splitting, rate=rate, setup_s=setup_s)
        finally:
            self._notes["connections"] = len(parallel.useful)
        return plan(self._partial.prefix(self._url))

    async def _append(self, size: int, total: int | None, disk_limit: int) -> None:
        self._check(Received(self._partial.length + size, total, disk_limit))
        self._partial.commit(size)
        await self._report(Progress(self._partial.length, total or 0))

    def _check(self, received: Received) -> None:
        if (error := judge_body(received)) is not None:
            raise error

    async def _disk_limit(self, total: int | None) -> int:
        """The length in bytes up to which the partial can grow on this disk.

        Raises:
            ApplianceError: the size of the object is known, and it does not fit (`disk_full`).
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
