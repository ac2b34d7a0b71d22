"""Attempts with scripted responses that a real HTTP server cannot send."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from spsd.digest import Sha256
from spsd.failures import ApplianceError, FailureCode, OriginError
from spsd.storage.files import SPARE_BYTES
from spsd.transfer.attempt import LocalAttempts
from spsd.transfer.ports import Progress
from spsd.transfer.staging.directory import StagingDirectory
from tests.transfer.scripted import ScriptedOrigin

DIGEST = Sha256("a" * 64)


class Endless(ScriptedOrigin):
    """Announces the given length, and sends a million bytes whatever it is."""

    async def blocks(self) -> AsyncGenerator[bytes, None]:
        for _ in range(1000):
            yield bytes(1000)


class LittleRoom(StagingDirectory):
    """Reports 10,000 free bytes beyond the spare ones."""

    async def room_beyond(self, length: int) -> int:
        return SPARE_BYTES + 10_000


async def attempt(tmp_path: Path, origin: Endless) -> int:
    staging = LittleRoom(tmp_path, boot="this boot")

    async def report(progress: Progress) -> None: ...

    async with staging.open(DIGEST) as partial:
        try:
            await LocalAttempts(origin, staging, now=lambda: 0).attempt(
                "http://a/", partial, report
            )
        finally:
            prefix = partial.length
    return prefix


async def test_no_byte_past_the_announced_length_is_kept(tmp_path: Path) -> None:
    assert await attempt(tmp_path, Endless(content_length="2500")) == 2500
    assert (tmp_path / DIGEST / "image").stat().st_size == 2500


async def test_an_endless_body_stops_before_the_disk_is_full(tmp_path: Path) -> None:
    with pytest.raises(ApplianceError) as caught:
        await attempt(tmp_path, Endless())
    assert caught.value.code is FailureCode.DISK_FULL
    assert (tmp_path / DIGEST / "image").stat().st_size == 10_000


async def test_an_image_that_does_not_fit_is_not_begun(tmp_path: Path) -> None:
    with pytest.raises(ApplianceError) as caught:
        await attempt(tmp_path, Endless(content_length="10001"))
    assert caught.value.evidence == {"needed bytes": 10_001, "free bytes": 10_000}
    assert (tmp_path / DIGEST / "image").stat().st_size == 0


class Broken(Endless):
    """Breaks off after 2,000 bytes."""

    async def blocks(self) -> AsyncGenerator[bytes, None]:
        yield bytes(1000)
        yield bytes(1000)
        raise OriginError(FailureCode.CUT_OFF, "broken off")


class Silent(Endless):
    """Announces everything, and breaks off before the first byte."""

    async def blocks(self) -> AsyncGenerator[bytes, None]:
        raise OriginError(FailureCode.CUT_OFF, "broken off")
        yield b""


async def test_an_announced_body_without_bytes_does_not_discard_the_partial(tmp_path: Path) -> None:
    with pytest.raises(OriginError):
        await attempt(tmp_path, Broken(content_length="10000"))
    with pytest.raises(OriginError) as caught:
        await attempt(tmp_path, Silent(content_length="10000"))
    assert caught.value.code is FailureCode.CUT_OFF
    assert (tmp_path / DIGEST / "image").stat().st_size == 2000
