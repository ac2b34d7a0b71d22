"""Files are written although the process, or the system, has no descriptor left for a while."""

import asyncio
import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from spsd.failures import ApplianceError, FailureCode
from spsd.storage.faults import storage_problem
from spsd.storage.files import as_appliance_errors, open_when_possible, write_durably


@contextmanager
def no_descriptors() -> Iterator[list[int]]:
    """Within the context every descriptor of the process is in use; gives those to close."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used: list[int] = []
    # Above the highest descriptor, so that the loop that fills the table is short.
    highest = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 8, hard))
    try:
        while True:
            try:
                used.append(os.open("/dev/null", os.O_RDONLY))
            except OSError as error:
                assert error.errno == errno.EMFILE  # noqa: PT017 - the loop ends with it
                break
        yield used
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for each in used:
            os.close(each)


async def test_a_write_waits_for_a_descriptor(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, int)  # the thread exists before descriptors run out
    with no_descriptors() as used:
        writing = loop.run_in_executor(None, write_durably, tmp_path / "file", b"content")
        done, _ = await asyncio.wait([writing], timeout=0.3)
        assert not done
        os.close(used.pop())
        async with asyncio.timeout(20):
            await writing
    assert (tmp_path / "file").read_bytes() == b"content"


def test_a_wait_has_an_end_and_the_error_is_transient(tmp_path: Path) -> None:
    with (
        no_descriptors(),
        pytest.raises(ApplianceError) as raised,
        as_appliance_errors("writing"),
    ):
        open_when_possible(tmp_path / "file", os.O_WRONLY | os.O_CREAT, wait_s=0.05)
    assert (raised.value.code, raised.value.transient) == (FailureCode.DISK, True)
    assert storage_problem(raised.value).type == "StorageBusy"


def test_other_errors_are_raised_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_when_possible(tmp_path / "none" / "file", os.O_RDONLY)
