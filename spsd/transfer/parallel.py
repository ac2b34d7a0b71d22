"""One object over several connections, appended in order.

Which connection fetches which chunk is decided in :mod:`spsd.transfer.rules.chunks`; this module
carries it out. The file is a plain prefix at every moment, so a resume does not depend on this.
"""

import asyncio
from contextlib import suppress

from spsd.clock import Now, loop_time
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

IDLE_CHECK_S = 0.25
"""How often a lane without work checks whether another one has become slow, in seconds."""


class Parallel:
    """Fetches the rest of an object by several connections; its strong ETag and size are known."""

    def __init__(
        self,
        origin: Origin,
        url: str,
        partial: Partial,
        report: Report,
        *,
        now: Now,
        windows: Windows,
        idle_check_s: float = IDLE_CHECK_S,
    ) -> None:
        self._idle_check_s = idle_check_s
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
        """The numbers of the connections that received bytes."""

    async def run(
        self, response: OriginResponse, splitting: Splitting, *, rate: float, setup_s: float
    ) -> None:
        """Fetch until every byte is appended, or until one connection should continue alone.

        ``response`` is open, and its next byte is the first one missing in the partial. Its head
        took ``setup_s`` seconds to arrive, and its body arrived at ``rate`` bytes per second since.

        Raises:
            OriginError: no connection is left; all bytes that continue the prefix are appended.
            ApplianceError: the disk is full or broken.
            AttemptStoppedError: raised by the progress report.
        """
        self._prefix = self._partial.prefix(self._url)
        self._total = self._prefix.total or 0
        first = self._prefix.length
        rest = self._total - first
        # On a line with a long delay and a high rate, the first connection would fetch everything
        # before the others are connected; half is left for them.
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
                # Not raised inside the group, which would wrap it in an ExceptionGroup.
                failure = error
            for lane in lanes:
                lane.cancel()
        if failure is not None:
            raise failure

    async def _append_in_order(self, schedule: Schedule) -> None:
        appended = reported = 0  # of the first chunk; of the object
        while not schedule.is_done:
            changed, head = self._changed, schedule.head
            if reported < (reported := schedule.bytes_present):
                await self._report(Progress(reported, self._total))
            if head is not None and appended < head.filled:
                ready = memoryview(head.memory)[appended : head.filled]
                appended = head.filled
                await self._partial.append(ready)
            elif head is not None and not head.left:
                schedule.head_appended()
                appended = 0
                self._announce()
            elif self._needs_one_connection:
                return
            elif schedule.has_no_lanes:
                raise self._error or OriginError(FailureCode.CUT_OFF, "no connection is left")
            else:
                await changed.wait()

    async def _lane(self, schedule: Schedule, number: int, response: OriginResponse | None) -> None:
        """Fetch one chunk after another; the first from ``response`` if it is open already."""
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
                schedule.release(chunk, loop_time())
            received = chunk.filled - before
            if received:
                self.useful.add(number)
            # A connection that breaks after a few bytes each time would be opened for ever, without
            # the wait between two attempts.
            useful = schedule.should_reopen(chunk, received)
            self._announce()
        schedule.lane_lost(number)
        self._announce()

    async def _next(self, schedule: Schedule, number: int) -> Chunk:
        while (chunk := schedule.take(number, loop_time())) is None:
            # The time limit is needed because another lane becomes slow without any event.
            with suppress(TimeoutError):
                async with asyncio.timeout(self._idle_check_s):
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
                    # The object has changed, or the origin sends no ranges here: the attempt goes
                    # back to one connection, whose response decides what follows.
                    self._needs_one_connection = True

    async def _fill(self, chunk: Chunk, response: OriginResponse) -> None:
        while buffer := chunk.buffer[:MIB]:
            size = await response.read_into(buffer)
            if size == 0:
                return
            chunk.received(size)
            self._announce()

    def _announce(self) -> None:
        """Wake every waiting task. The new event is for those that wait for the next change."""
        self._changed.set()
        self._changed = asyncio.Event()
