"""Downloads and uploads, where the slots are a file system of their own."""

import pytest

from spsd.errors import InsufficientStorageError
from spsd.jobs.lifecycle import JobState
from spsd.storage.files import SPARE_BYTES
from spsd.testing.origin import CutAfter
from spsd.transfer.staging.directory import StagingDirectory
from tests.disk import mounted_tmpfs
from tests.slots.test_upload import receive

ENOUGH = SPARE_BYTES + 2**20
TOO_LITTLE = SPARE_BYTES + 100_000


@pytest.fixture
def room(bench, request):
    """Staging, with the slots on a file system of ``request.param`` bytes."""
    slots = bench.root / "slots"
    with mounted_tmpfs(slots, str(request.param)):
        staging = StagingDirectory(bench.root / "staging", boot="this", slots=slots)
        bench.local_attempts.staging = staging
        yield staging


@pytest.mark.parametrize("room", [ENOUGH], indirect=True)
async def test_a_download_is_installed_on_the_other_file_system(bench, room):
    job, _ = await bench.fetch(CutAfter(200_000))
    assert job.state is JobState.FINISHED
    assert bench.installed() == bench.content
    assert bench.partials() == []


@pytest.mark.parametrize("room", [ENOUGH], indirect=True)
async def test_an_upload_is_installed_on_the_other_file_system(bench, room):
    slot, image = await receive(bench, length=len(bench.content), staging=room)
    assert image.sha256 == bench.sha256
    assert bench.installed(slot) == bench.content
    assert bench.partials() == []


@pytest.mark.parametrize("room", [TOO_LITTLE], indirect=True)
async def test_a_download_too_large_for_the_slots_is_not_begun(bench, room):
    job, _ = await bench.fetch()
    assert job.state is JobState.FAILED
    assert job.error.startswith("disk_full: the image does not fit")
    assert "needed bytes 300000" in job.error, job.error
    assert job.progress.done == 0
    assert bench.partials() == []


@pytest.mark.parametrize("room", [TOO_LITTLE], indirect=True)
async def test_an_upload_too_large_for_the_slots_ends_before_they_are_full(bench, room):
    with pytest.raises(InsufficientStorageError) as caught:
        await receive(bench, length=len(bench.content), staging=room)
    assert caught.value.details["needed_bytes"] == len(bench.content)
    assert bench.partials() == []
