"""Recovery at the start of the daemon: read the disk, then trigger ordinary transitions.

Three facts are stored in one place each: the intent in the job's row, the received bytes in the
partial file, the image in the slot. A crash can leave them one step apart. Recovery runs before
any job does, and a crash during recovery is repaired by the next recovery: each step can be
repeated. An unexpected exception that concerns one job or one partial file does not keep the daemon
from starting: that job fails, that file stays.
"""

from spsd.clock import Now
from spsd.jobs.containment import Contained, final_error
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
    """Bring rows, partial files and slots into agreement, before any job runs.

    ``budget`` is the number of attempts in a row without new bytes that a job may make.

    Raises:
        OSError: the partial files cannot be listed.
        DatabaseError: the rows cannot be read or changed.
    """
    # Step 1: free the bytes of images that were being installed or removed. This is first because
    # a full disk may need the space for the writes of the steps below.
    with Contained("the removal of interrupted installations"):
        await slots.remove_leftovers()
    # Step 2: read the slots, then settle each active row. The slot decides: an image is installed
    # before its row is marked as finished, so after a crash the image may be in the slot of a row
    # that is still INSTALLING. The opposite, a finished row without an image, cannot occur.
    held = await slots.slots()
    for job in await jobs.active():
        with Contained(f"job {job.key}: recovery", job.key) as settling:
            content = held.get(job.slot) if job.slot is not None else None
            await jobs.move(job, _settled_job(job, content, budget=budget, now=now()))
        if settling.error is not None:
            # If this fails too, the database is at fault, and the daemon cannot start.
            error = final_error(settling.error)
            await jobs.move(job, job.failed(error, job.progress, gained=False, budget=0, now=now()))
    # Step 3: remove the partial files that no job can use. This is last because step 2 decides
    # which jobs continue: the partial file of a job that it finishes or fails may be removed too.
    # An upload cannot be continued, so its partial file is always removed.
    resumable = {download_key(digest) for digest in await jobs.resumable_digests()}
    for key in await staging.keys():
        if key not in resumable:
            with Contained(f"the removal of the partial file {key}"):
                await discard_partial(staging, key)


def _settled_job(job: Job, content: object, *, budget: int, now: int) -> Job:
    """Installed, if its slot holds its image; else interrupted: queued again, or failed."""
    if (
        job.state is JobState.INSTALLING
        and isinstance(content, InstalledImage)
        and (content.sha256, content.job) == (job.sha256, job.key)
    ):
        return job.installed(now=now)
    return job.interrupted(budget=budget, now=now)
