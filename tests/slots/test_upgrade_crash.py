"""An upgrade with a power cut or a disk fault at each of its steps on the disk, one at a time.

A *cut* ends the run before or after the step: no later step of that run happens. A *fault* is an
error of one step, after which the disk works again. Afterwards a new run starts from the disk.
"""

import asyncio
import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spsd.errors import FirmwareTestFailedError
from spsd.failures import ApplianceError
from spsd.slots.hooks import HookRunner
from tests.slots.upgrading import RebootCounter, Rig, make_rig

EFFECTS = ("symlink", "replace", "rename", "unlink", "fsync", "open")


class Cut(BaseException):
    """The power has failed."""


class FaultInjector:
    """Counts the steps of a run on the disk, and injects the power cut or fault at one of them."""

    def __init__(self, fails_at: int, how: str) -> None:
        self.count = 0
        self.fails_at = fails_at
        self.how = how
        self.trace: list[str] = []
        self.has_failed = False

    def enter(self, name: str) -> bool:
        """Called before a step; True: the power fails right after it."""
        if self.has_failed and self.how != "fault":
            raise Cut
        self.count += 1
        self.trace.append(name)
        if self.count != self.fails_at:
            return False
        self.has_failed = True
        if self.how == "cut before":
            raise Cut
        if self.how == "fault":
            raise OSError(5, "Input/output error")
        return True

    def install(self, patch: pytest.MonkeyPatch) -> None:
        for name in EFFECTS:
            patch.setattr(os, name, self._around(name, getattr(os, name)))
        run = HookRunner.run

        async def hook(*args: Any) -> Any:
            if self.has_failed and self.how != "fault":
                raise Cut
            self.trace.append("hook")
            return await run(*args)

        patch.setattr(HookRunner, "run", hook)
        request = RebootCounter.request

        def counted_request(this: RebootCounter) -> None:
            if self.has_failed and self.how != "fault":
                raise Cut
            self.trace.append("reboot")
            request(this)

        patch.setattr(RebootCounter, "request", counted_request)

    def _around(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def effect(*args: Any, **kwargs: Any) -> Any:
            # Only writes beside the slots are steps; images are only read.
            if not _writes(name, args):
                return real(*args, **kwargs)
            after = self.enter(name)
            result = real(*args, **kwargs)
            if after:
                if name == "open":
                    os.close(result)
                raise Cut
            return result

        return effect


def _writes(name: str, args: tuple[Any, ...]) -> bool:
    match name:
        case "fsync":
            return True
        case "open":
            return bool(args[1] & (os.O_WRONLY | os.O_RDWR)) and ".boot.json" in str(args[0])
        case "symlink":
            return ".next" in str(args[1])
        case _:
            return any(part in str(args[0]) for part in ("next", "boot.json"))


async def interrupted_upgrade(rig: Rig, fails_at: int, how: str) -> FaultInjector:
    """Upgrade from slot 1, the former choice, to slot 2, with the cut or fault."""
    daemon = await rig.start("boot-1")
    injector = FaultInjector(fails_at, how)
    with pytest.MonkeyPatch.context() as patch:
        injector.install(patch)
        try:
            await daemon.upgrade(2, message=None, account="ann")
        except (Cut, FirmwareTestFailedError, ApplianceError):
            pass
        else:
            assert injector.how == "fault" or not injector.has_failed
    return injector


async def afterwards(rig: Rig, ran: Path, *, good: bool) -> None:
    """Start again, in this boot and in the next one, from what the disk holds."""
    assert rig.next_is_whole()
    runs = len(ran.read_text().splitlines()) if ran.exists() else 0
    chosen, pending = rig.next(), rig.pending()
    assert chosen in ("1", "2")
    if chosen == "2" and pending is None:
        assert good
        assert runs > 0, "the choice stands without an activation"

    # In this boot slot 1 is still the running one, whichever is chosen.
    assert (await rig.start("boot-1")).slots.current == 1
    daemon = await rig.start("boot-2")
    assert daemon.slots.current == int(chosen)
    await daemon.resume()
    assert rig.pending() is None
    assert rig.next_is_whole()
    after = len(ran.read_text().splitlines()) if ran.exists() else 0
    again = pending is not None and chosen == "2"
    assert after - runs == int(again)
    assert rig.next() == ("2" if chosen == "2" and good else "1")
    # Nothing is pending: the next upgrade works.
    rig.activate_hook = ""
    await (await rig.start("boot-2")).upgrade(1, message=None, account="ann")
    assert rig.next() == "1"


@pytest.mark.parametrize("good", [True, False], ids=["good hook", "failing hook"])
@pytest.mark.parametrize("how", ["cut before", "cut after", "fault"])
async def test_every_step(
    tmp_path: Path, tally: Callable[[str, int], None], how: str, *, good: bool
) -> None:
    for fails_at in itertools.count(1):
        rig = await asyncio.to_thread(make_rig, tmp_path / str(fails_at))
        first = await rig.start("boot-0", named=1)
        await first.upgrade(1, message=None, account="ann")
        ran = rig.root / "ran"
        rig.activate_hook = rig.hook("activate", f"echo run >> {ran}; exit {0 if good else 1}")
        injector = await interrupted_upgrade(rig, fails_at, how)
        await afterwards(rig, ran, good=good)
        if not injector.has_failed:
            # The run had no cut or fault: each of its steps has had one before.
            record = ["unlink", "open", "fsync", "replace", "fsync"]
            link = ["unlink", "symlink", "replace", "fsync"]
            back = [] if good else link
            end = ["reboot"] if good else []
            assert injector.trace == [*record, *link, "hook", *back, *record, *end]
            assert fails_at == injector.count + 1
            tally("cuts and disk faults in the steps of an upgrade", injector.count)
            return
