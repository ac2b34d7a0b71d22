"""One object over several connections, appended in order.

Which connection fetches which chunk is decided in :mod:`spsd.transfer.rules.chunks`; here it is
done. What is on disk is a plain prefix at every instant, so a resume needs to know nothing of this.
"""

import asyncio
from contextlib import suppress

from spsd.clock import Now
from spsd.failures import FailureCode, JobError, OriginError
from spsd.transfer.ports import (
    AttemptStoppedError,
    Origin,
    OriginResponse,
    Partial,
    Progress,
    Report,
)
from spsd.transfer.rules.chunks import MIB, Chunk, Schedule, Splitting
from spsd.transfer.rules.messages import Append, Prefix, RangeRequest, Reject, Windows
from spsd.transfer.rules.response import judge

LOOK_S = 0.25
"""How often a lane without work looks whether another has become slow."""


class Parallel:
    """The rest of an object whose strong ETag and size are known, by several connections."""

    def __init__(
        self,
        origin: Origin,
        url: str,
        partial: Partial,
        report: Report,
        *,
        now: Now,
        windows: Windows,
        look_s: float = LOOK_S,
    ) -> None:
        self._look_s = look_s
        self._origin = origin
        self._url = url
        self._partial = partial
        self._report = report
        self._now = now
        self._windows = windows
        self._prefix = Prefix()
        self._total = 0
        self._changed = asyncio.Event()
        self._error: OriginError | None = None
        self._needs_one_connection = False
        self.useful: set[int] = set()
        """The connections that have brought bytes, by number."""

    async def run(
        self, response: OriginResponse, splitting: Splitting, *, rate: float, setup_s: float
    ) -> None:
        """Fetch until all is here, or until one connection had better go on alone.

        ``answer`` is open where the partial ends; it took ``setup_s`` seconds to come, and has
        come at ``rate`` bytes a second since.

        Raises:
            OriginError: no connection is left; what could be appended has been.
            ApplianceError: the disk is full or broken.
        """
        self._prefix = self._partial.prefix(self._url)
        self._total = self._prefix.total or 0
        first = self._prefix.length
        rest = self._total - first
        # A line that is slow to begin and fast then would bring it all; the others have a share.
        ahead = min(int(rate * setup_s), rest // 2)
        size = splitting.chunk(rest - ahead, rate)
        schedule = Schedule(splitting, first, self._total, size, ahead=ahead, setup_s=setup_s)
        failure: JobError | AttemptStoppedError | None = None
        async with asyncio.TaskGroup() as group:
            lanes = [
                group.create_task(self._lane(schedule, number, response if number == 0 else None))
                for number in range(splitting.connections)
            ]
            try:
                await self._append_in_order(schedule)
            except (JobError, AttemptStoppedError) as error:
                # Not through the group, which would wrap it.
                failure = error
            for lane in lanes:
                lane.cancel()
        if failure is not None:
            raise failure

    async def _append_in_order(self, schedule: Schedule) -> None:
        done = told = 0
        while not schedule.over:
            changed, head = self._changed, schedule.head
            if told < (told := schedule.reached):
                await self._report(Progress(told, self._total))
            if head is not None and done < head.filled:
                ready = memoryview(head.memory)[done : head.filled]
                done = head.filled
                await self._partial.append(ready)
            elif head is not None and not head.left:
                schedule.appended()
                done = 0
                self._announce()
            elif self._needs_one_connection:
                return
            elif schedule.has_no_lanes:
                raise self._error or OriginError(FailureCode.CUT_OFF, "no connection is left")
            else:
                await changed.wait()

    async def _lane(self, schedule: Schedule, number: int, response: OriginResponse | None) -> None:
        """Fetch chunk after chunk, the first from an ``answer`` that is open already."""
        useful = True
        while useful:
            chunk = await self._next(schedule, number)
            before = chunk.filled
            try:
                if response is not None:
                    await self._fill(chunk, response)
                else:
                    await self._request(chunk)
            except OriginError as error:
                self._error = error
            finally:
                if response is not None:
                    response.close()
                    response = None
                schedule.release(chunk, _clock())
            got = chunk.filled - before
            if got:
                self.useful.add(number)
            # Cut after a few bytes each time, it would be opened for ever, and never waited for.
            useful = schedule.reopens(chunk, got)
            self._announce()
        schedule.lane_lost(number)
        self._announce()

    async def _next(self, schedule: Schedule, number: int) -> Chunk:
        while (chunk := schedule.take(number, _clock())) is None:
            # Not only by what happens: that nothing happens is what makes another one slow.
            with suppress(TimeoutError):
                async with asyncio.timeout(self._look_s):
                    await self._changed.wait()
        return chunk

    async def _request(self, chunk: Chunk) -> None:
        request = RangeRequest(chunk.position, self._prefix.validator, stop=chunk.end)
        async with self._origin.open(self._url, request) as response:
            prefix = Prefix(chunk.position, self._total, self._prefix.etag)
            match judge(request, prefix, response.head, now=self._now(), windows=self._windows):
                case Append(offset=offset, total=total, overlap=0) if (offset, total) == (
                    chunk.position,
                    self._total,
                ):
                    await self._fill(chunk, response)
                case Reject(error=error):
                    raise error
                case _:
                    # Another object, or no ranges: one connection finds out what to do.
                    self._needs_one_connection = True

    async def _fill(self, chunk: Chunk, response: OriginResponse) -> None:
        while room := chunk.room[:MIB]:
            size = await response.read_into(room)
            if size == 0:
                return
            chunk.received(size)
            self._announce()

    def _announce(self) -> None:
        """Wake everybody who waits; a new event, so that nobody is woken by what was before."""
        self._changed.set()
        self._changed = asyncio.Event()


def _clock() -> float:
    return asyncio.get_running_loop().time()
