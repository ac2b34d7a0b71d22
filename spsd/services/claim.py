"""One claimed job: its row as it was moved last, and the moves that its run makes.

Each step moves the row. When a move finds that somebody else moved first (a cancel), the run ends
without a word: the row says what happened.
"""

from spsd.clock import Now
from spsd.domain.job import Job
from spsd.domain.lifecycle import JobState
from spsd.failures import JobError
from spsd.services.ports import JobRepository
from spsd.services.progress import ProgressBoard
from spsd.transfer.ports import Progress, SupersededError
from spsd.transfer.rules.retry import RetryPolicy


class Claim:
    """The hold that a run has on its job. Every move may raise :class:`SupersededError`."""

    def __init__(
        self, job: Job, jobs: JobRepository, board: ProgressBoard, *, retry: RetryPolicy, now: Now
    ) -> None:
        self.job = job
        self.retry_policy = retry
        self._jobs = jobs
        self._board = board
        self._now = now

    async def report(self, progress: Progress, new_bytes: int) -> None:
        """Show how far the download is; enough new bytes make the budget whole again."""
        self._board.post(self.job.key, progress)
        if self.job.spent > 0 and new_bytes > self.retry_policy.stall_floor:
            await self.move(self.job.advanced(progress, now=self._now()))

    async def retry(self, error: JobError, *, gained_bytes: bool) -> None:
        """Note a failed attempt and go on; raises ``error`` if there is to be no other."""
        after = self._after(error, gained_bytes=gained_bytes)
        if after.state is JobState.FAILED:
            raise error
        await self.move(after)

    async def fail(self, error: JobError) -> None:
        """End the job with an error that no other attempt can mend."""
        await self.move(self._after(error, gained_bytes=False))

    async def move(self, to: Job) -> None:
        """Make the row ``to``."""
        moved = await self._jobs.move(self.job, to)
        if moved is None:
            raise SupersededError
        self.job = moved

    def _after(self, error: JobError, *, gained_bytes: bool) -> Job:
        return self.job.failed(
            error,
            self._board.of(self.job),
            gained=gained_bytes,
            budget=self.retry_policy.budget,
            now=self._now(),
        )
