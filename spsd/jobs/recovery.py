"""What the last daemon left: look at the disk, then fire ordinary triggers.

Three facts have one home each: the intent in the row, the bytes in the partial file, the image in
the slot. After a crash they may disagree by one step; each disagreement has one way out.
"""

from spsd.clock import Now
from spsd.jobs.job import Job
from spsd.jobs.lifecycle import JobState
from spsd.jobs.ports import JobRepository
from spsd.slots.model import InstalledImage
from spsd.slots.ports import SlotStore
from spsd.transfer.discard import discard_partial
from spsd.transfer.ports import Staging, download_key


async def recover(
    jobs: JobRepository, staging: Staging, slots: SlotStore, *, budget: int, now: Now
) -> None:
    """Bring rows, partial files and slots into agreement, before anything runs."""
    await slots.tidy()
    held = await slots.slots()
    for job in await jobs.active():
        content = held.get(job.slot) if job.slot is not None else None
        await jobs.move(job, _settled(job, content, budget=budget, now=now()))
    # Nobody goes on with an upload, or with what a failure for good has left: none is wanted.
    wanted = {download_key(digest) for digest in await jobs.wanted()}
    for key in await staging.keys():
        if key not in wanted:
            await discard_partial(staging, key)


def _settled(job: Job, content: object, *, budget: int, now: int) -> Job:
    """Installed, if the slot says so; else as far as the budget lets it go."""
    if (
        job.state is JobState.INSTALLING
        and isinstance(content, InstalledImage)
        and (content.sha256, content.job) == (job.sha256, job.key)
    ):
        return job.installed(now=now)
    return job.interrupted(budget=budget, now=now)
