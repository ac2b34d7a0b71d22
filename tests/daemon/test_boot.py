"""The start of a daemon after a boot choice, and after an interrupted upgrade."""

import asyncio
import hashlib
import os
from pathlib import Path

from spsd.testing.origin import Origin
from testbed.driver import Daemon, running
from testbed.iso import build_iso
from testbed.waiting import until_seen

SLOTS = "/api/firmware/slots"


async def fill(daemon: Daemon, root: Path, *versions: str) -> None:
    """Install an image of each version, from slot 1 on."""
    for slot, version in enumerate(versions, 1):
        iso = build_iso(root / f"{version}.iso", version=version)
        async with Origin({"/image.iso": iso}) as origin:
            digest = hashlib.sha256(iso.read_bytes()).hexdigest()
            key = await daemon.submit(origin.url("/image.iso"), digest)
            body = await daemon.over(key)
        assert (body["status"], body["slot_id"]) == ("finished", slot), body


async def current_and_next(daemon: Daemon) -> tuple[str | None, str | None]:
    """The slot that runs, and the one that runs after the next reboot."""
    status, document = await daemon.call("GET", SLOTS)
    assert status == 200
    meta = document["meta"]
    ends = [meta["current_slot"], meta["slot_after_reboot"]]
    current, after = (None if link is None else link.removeprefix(f"{SLOTS}/") for link in ends)
    return current, after


async def restart(daemon: Daemon, boot_id: str, booted_slot: int | None = None) -> None:
    daemon.boot_id, daemon.booted_slot = boot_id, booted_slot
    await daemon.kill()
    await daemon.start()


async def test_a_choice_takes_effect_with_a_reboot(tmp_path: Path) -> None:
    async with running(tmp_path, boot_id="a", booted_slot=1) as daemon:
        await fill(daemon, tmp_path, "1.0.0", "2.0.0")
        assert await current_and_next(daemon) == ("1", "1")
        (daemon.state / "slots" / "next").symlink_to("2")
        await restart(daemon, "a")
        assert await current_and_next(daemon) == ("1", "2")
        for slot in (1, 2):
            status, document = await daemon.call("DELETE", f"{SLOTS}/{slot}")
            assert (status, document["error"]["type"]) == (409, "SlotInUse")
        await restart(daemon, "b")
        assert await current_and_next(daemon) == ("2", "2")
        # The boot loader fell back to slot 1, and names it on the kernel's command line.
        await restart(daemon, "c", 1)
        assert await current_and_next(daemon) == ("1", "2")
        assert daemon.filled() == [1, 2]


async def test_a_slow_hook_of_an_interrupted_upgrade_delays_no_start(
    tmp_path: Path,
) -> None:
    begun, go = tmp_path / "begun", tmp_path / "go"
    for fifo in (begun, go):
        os.mkfifo(fifo)
    hook = tmp_path / "activate"
    hook.write_text(f'#!/bin/sh\necho "$SPSD_SLOT" > {begun}\nread ignored < {go}\nexit 1\n')
    hook.chmod(0o755)
    upgrade = {"activate_hook": str(hook)}
    async with running(tmp_path, boot_id="a", booted_slot=1, upgrade=upgrade) as daemon:
        await fill(daemon, tmp_path, "1.0.0", "2.0.0")
        await daemon.kill()
        slots = daemon.state / "slots"
        (slots / "next").symlink_to("2")
        record = '{"boot_id":"a","slot":1,"pending":{"slot":2,"before":1}}'
        (slots / "boot.json").write_text(record)
        # The daemon is ready, and stops, while the hook still runs; the record stays.
        for _ in range(2):
            await daemon.start()
            assert await asyncio.to_thread(begun.read_text) == "2\n"
            assert await current_and_next(daemon) == ("1", "2")
            async with asyncio.timeout(5):
                assert await daemon.stop() == 0
            assert (slots / "boot.json").read_text() == record
        await daemon.start()
        await asyncio.to_thread(begun.read_text)
        await asyncio.to_thread(go.write_text, "\n")
        await until_seen(lambda: current_and_next(daemon), lambda slots: slots == ("1", "1"))
        assert str((slots / "next").readlink()) == "1"
