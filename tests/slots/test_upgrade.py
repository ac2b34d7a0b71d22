"""Tests and upgrades of slots, with real images and real hooks, and their failures."""

import asyncio
import os

import msgspec
import pytest

from spsd.errors import FirmwareTestFailedError, ResourceNotFoundError, SlotInUseError
from spsd.slots.boot import Activation
from testbed.waiting import until_ended
from tests.slots.upgrading import make_rig


@pytest.fixture
def rig(tmp_path):
    return make_rig(tmp_path / "appliance")


@pytest.fixture
def fifo(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


async def read(fifo):
    return (await asyncio.to_thread(fifo.read_text)).split()


async def refused(work, check):
    with pytest.raises(FirmwareTestFailedError) as caught:
        await work
    assert caught.value.details["check"] == check
    summary = caught.value.details["test_summary"]
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)
    return str(caught.value), summary


def lines(summary):
    return [line.partition(" (")[0] for line in summary.splitlines()]


async def test_an_intact_slot_passes(rig):
    rig.test_hooks = [
        rig.hook("space", "echo 'plenty\n  of it'"),
        rig.hook("quiet", "exit 0"),
    ]
    tested = await (await rig.start()).test(2)
    size = (rig.slots_root / "2" / "image").stat().st_size
    first, second, third, *hooks = tested.summary.splitlines()
    assert first.startswith(f"Image check: ok ({size} bytes, SHA-256 ")
    assert second == "Volume check: ok (version 2.0.0)"
    assert third.startswith("Space check: ok (")
    assert hooks == ["Hook space: ok", "  plenty", "    of it", "Hook quiet: ok"]
    assert tested.slot == 2
    assert (rig.next(), rig.reboot.times) == (None, 0)


@pytest.mark.parametrize("slot", [0, 3, 4])
async def test_an_empty_or_absent_slot_is_an_error(rig, slot):
    daemon = await rig.start()
    for work in (daemon.test(slot), daemon.upgrade(slot, message=None, account="ann")):
        with pytest.raises(ResourceNotFoundError):
            await work
    assert rig.next() is None


def rot(rig):
    path = rig.slots_root / "2" / "image"
    path.write_bytes(path.read_bytes()[:-1] + b"?")


def lose(rig):
    (rig.slots_root / "2" / "image").unlink()


def relabel(rig):
    path = rig.slots_root / "2" / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b"2.0.0", b"2.0.1"))


def raw(rig):
    (rig.slots_root / "2" / "manifest.json").unlink()
    (rig.slots_root / "2" / "image").unlink()
    (rig.slots_root / "2").rmdir()
    rig.fill(2, b"no volume at all" * 4000, "unknown")


def strip(rig):
    (rig.slots_root / "2" / "manifest.json").unlink()


@pytest.mark.parametrize(
    ("damage", "check", "expected"),
    [
        (rot, "image", ["failed", "ok", "ok"]),
        (lose, "image", ["failed", "failed", "ok"]),
        (relabel, "volume", ["ok", "failed", "ok"]),
        (raw, "volume", ["ok", "failed", "ok"]),
        (strip, "image", ["failed", "skipped", "ok"]),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
async def test_a_damaged_slot_fails(rig, tmp_path, damage, check, expected):
    damage(rig)
    ran = tmp_path / "ran"
    rig.test_hooks = [rig.hook("hook", f"touch {ran}")]
    daemon = await rig.start()
    message, summary = await refused(daemon.test(2), check)
    titles = ["Image check", "Volume check", "Space check"]
    shown = [f"{title}: {verdict}" for title, verdict in zip(titles, expected, strict=True)]
    assert lines(summary) == [*shown, "Hook hook: skipped"]
    assert message.startswith(f"The {check} check of slot 2 failed: ")
    assert "delete the image from the slot and fetch it again" in message
    assert not ran.exists()
    await refused(daemon.upgrade(2, message=None, account="ann"), check)
    assert (rig.next(), rig.reboot.times, rig.pending()) == (None, 0, None)


async def test_a_raw_image_passes_where_it_is_accepted(rig):
    raw(rig)
    rig.accept_any = True
    summary = (await (await rig.start()).test(2)).summary
    assert "Volume check: ok (version unknown)" in summary


async def test_a_full_disk_fails_the_space_check(rig):
    rig.spare_bytes = 2**60
    message, summary = await refused((await rig.start()).test(2), "space")
    assert f"{2**60} needed" in message
    assert lines(summary) == ["Image check: ok", "Volume check: ok", "Space check: failed"]


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo no; exit 9", "it ended with status 9"),
        ("echo no; kill -KILL $$", "it was ended by signal 9"),
        ("echo no; sleep 600", "it was killed at its time limit, [upgrade] hook_timeout_s"),
    ],
)
async def test_a_failing_hook_ends_the_test(rig, tmp_path, script, why):
    rig.limit_s = 1
    ran = tmp_path / "ran"
    rig.test_hooks = [
        rig.hook("good", "exit 0"),
        rig.hook("bad", script),
        rig.hook("late", f"touch {ran}"),
    ]
    message, summary = await refused((await rig.start()).test(2), "hook bad")
    assert message.startswith(f"The hook bad of slot 2 failed: {why}; ")
    assert summary.splitlines()[3:] == [
        "Hook good: ok",
        f"Hook bad: failed ({why})",
        "  no",
        "Hook late: skipped",
    ]
    assert not ran.exists()


async def test_long_output_is_truncated(rig):
    rig.test_hooks = [rig.hook("flood", "head -c 1000000 /dev/zero | tr '\\0' x")]
    summary = (await (await rig.start()).test(2)).summary
    assert summary.splitlines()[4:] == [
        "  " + "x" * 16384,
        f"  ({1_000_000 - 16384} more bytes left out)",
    ]


async def test_a_hook_that_cannot_be_run_fails(rig):
    rig.test_hooks = ["/no/such/hook"]
    message, _ = await refused((await rig.start()).test(2), "hook hook")
    assert "cannot be run: No such file or directory; check /no/such/hook" in message


async def test_the_environment_of_a_hook(rig, tmp_path):
    rig.test_hooks = [rig.hook("hook", 'cat "$SPSD_IMAGE" | sha256sum; env; pwd')]
    summary = (await (await rig.start()).test(2)).summary
    output = [line.strip() for line in summary.splitlines()[4:]]
    sha256 = msgspec.json.decode((rig.slots_root / "2" / "manifest.json").read_bytes())["sha256"]
    assert output[0] == f"{sha256}  -"
    assert {
        "SPSD_SLOT=2",
        f"SPSD_IMAGE={rig.slots_root / '2' / 'image'}",
        "SPSD_VERSION=2.0.0",
        f"SPSD_SHA256={sha256}",
    } <= set(output)
    assert output[-1] == "/"


async def test_tests_and_upgrades_run_one_at_a_time(rig, fifo, tmp_path):
    """Two hooks at the same time would fail: mkdir fails for the second."""
    room = tmp_path / "room"
    rig.test_hooks = [rig.hook("hook", f"mkdir {room} && sleep 0.05 && rmdir {room}")]
    daemon = await rig.start()
    tests = [daemon.test(slot) for slot in (1, 2, 1)]
    upgrades = [daemon.upgrade(2, message=None, account="ann")]
    assert [tested.slot for tested in await asyncio.gather(*tests, *upgrades)] == [1, 2, 1, 2]


async def test_the_order_of_an_upgrade(rig, tmp_path, caplog):
    """The activation hook sees the choice and the record; the reboot is not yet requested."""
    caplog.set_level("INFO")
    seen = tmp_path / "seen"
    slots = rig.slots_root
    rig.test_hooks = [rig.hook("first", f"ls {slots} > {seen}; cat {slots}/boot.json")]
    rig.activate_hook = rig.hook("activate", f"readlink {slots}/next; cat {slots}/boot.json")
    daemon = await rig.start(named=1)
    tested = await daemon.upgrade(2, message="new\nfirmware", account="ann")
    assert "next" not in seen.read_text().split()
    assert tested.summary.splitlines()[3:] == [
        "Hook first: ok",
        '  {"boot_id":"boot-1","slot":1,"pending":null}',
        "Activation hook activate: ok",
        "  2",
        '  {"boot_id":"boot-1","slot":1,"pending":{"slot":2,"before":null}}',
    ]
    assert (rig.next(), rig.pending(), rig.reboot.times) == ("2", None, 1)
    assert (daemon.slots.current, await daemon.slots.after_reboot()) == (1, 2)
    assert "ann chose slot 2, version 2.0.0, for the next boot: new firmware" in caplog.text
    assert (await rig.start("boot-2")).slots.current == 2


async def test_upgrading_to_the_current_slot_replaces_another_choice(rig):
    daemon = await rig.start(named=1)
    await daemon.upgrade(2, message=None, account="ann")
    await daemon.upgrade(1, message=None, account="ann")
    assert await daemon.slots.after_reboot() == 1
    assert (await rig.start("boot-2")).slots.current == 1


@pytest.mark.parametrize("before", [None, 1, 2])
async def test_a_failed_activation_restores_the_former_choice(rig, before):
    daemon = await rig.start(named=1)
    if before is not None:
        await daemon.upgrade(before, message=None, account="ann")
        rig.reboot.times = 0
    rig.activate_hook = rig.hook("activate", "echo the boot loader is gone; exit 1")
    daemon = await rig.start()
    work = daemon.upgrade(2, message=None, account="ann")
    message, summary = await refused(work, "activation")
    assert message.startswith("The activation hook activate of slot 2 failed: it ended with status")
    assert summary.splitlines()[-1] == "  the boot loader is gone"
    assert rig.next() == (None if before is None else str(before))
    assert (rig.pending(), rig.reboot.times) == (None, 0)


async def test_a_slot_that_changes_during_its_test_is_not_chosen(rig):
    slots = rig.slots_root
    rig.test_hooks = [rig.hook("thief", f"rm -r {slots}/2")]
    with pytest.raises(ResourceNotFoundError, match="no longer holds the image that was tested"):
        await (await rig.start(named=1)).upgrade(2, message=None, account="ann")
    assert (rig.next(), rig.pending(), rig.reboot.times) == (None, None, 0)


async def test_a_choice_that_cannot_be_written_fails_the_upgrade(rig):
    (rig.slots_root / "next").mkdir()
    daemon = await rig.start(named=1)
    with pytest.raises(FirmwareTestFailedError, match="choice for the next boot of slot 2 failed"):
        await daemon.upgrade(2, message=None, account="ann")
    assert rig.reboot.times == 0


async def test_slots_that_the_next_boot_may_need_cannot_be_emptied(rig, fifo, tmp_path):
    """While the hook runs, the chosen, the formerly chosen and the current slot are in use."""
    go = tmp_path / "go"
    os.mkfifo(go)
    rig.fill(3, b"raw", "unknown")
    daemon = await rig.start(named=3)
    await daemon.upgrade(1, message=None, account="ann")
    rig.activate_hook = rig.hook("activate", f"echo > {fifo}; read ignored < {go}; exit 1")
    daemon = await rig.start()
    running = asyncio.create_task(daemon.upgrade(2, message=None, account="ann"))
    await read(fifo)
    for slot, why in ((1, "in progress"), (2, "after the next reboot"), (3, "running now")):
        with pytest.raises(SlotInUseError, match=why):
            await daemon.slots.empty(slot)
    await asyncio.to_thread(go.write_text, "\n")
    await refused(running, "activation")
    assert (rig.next(), rig.next_is_whole()) == ("1", True)
    await daemon.slots.empty(2)
    with pytest.raises(SlotInUseError, match="after the next reboot"):
        await daemon.slots.empty(1)


async def test_choosing_and_emptying_at_the_same_time_never_chooses_an_empty_slot(rig):
    daemon = await rig.start(named=1)
    image = await daemon.slots.get(2)
    for order in (0, 1):
        works = [daemon.slots.choose(2, image), daemon.slots.empty(2)]
        if order:
            works.reverse()
        outcomes = await asyncio.gather(*works, return_exceptions=True)
        # One of the two was first, so the other was refused.
        assert sum(isinstance(outcome, Exception) for outcome in outcomes) == 1
        assert rig.next_is_whole()
        if rig.next() is not None:
            await daemon.slots.revert_choice(Activation(2, None))


@pytest.mark.parametrize("where", ["test", "activate"])
async def test_a_cancel_kills_the_hook_and_leaves_the_record(rig, fifo, where):
    hook = rig.hook("hook", f"sleep 600 & echo $$ $! > {fifo}; wait")
    if where == "test":
        rig.test_hooks = [hook]
    else:
        rig.activate_hook = hook
    daemon = await rig.start(named=1)
    running = asyncio.create_task(daemon.upgrade(2, message=None, account="ann"))
    pids = [int(pid) for pid in await read(fifo)]
    assert len(pids) == 2
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    for pid in pids:
        await until_ended(pid)
    pending = None if where == "test" else {"slot": 2, "before": None}
    assert (rig.pending(), rig.reboot.times) == (pending, 0)
    assert rig.next() == (None if where == "test" else "2")


async def crash(rig, *, slot=2, before=None, linked=True):
    """The state after a crash during the activation hook, or before the link was made."""
    daemon = await rig.start(named=1)
    image = await daemon.slots.get(slot)
    if before is not None:
        await daemon.slots.choose(before, await daemon.slots.get(before))
        await daemon.slots.confirm()
    await daemon.slots.choose(slot, image)
    if not linked:
        (rig.slots_root / "next").unlink()
        if before is not None:
            (rig.slots_root / "next").symlink_to(str(before))


async def test_resume_runs_the_hook_again(rig, tmp_path):
    await crash(rig)
    rig.activate_hook = rig.hook("activate", f'echo "$SPSD_SLOT" >> {tmp_path}/ran')
    await (await rig.start("boot-2")).resume()
    assert (tmp_path / "ran").read_text() == "2\n"
    assert (rig.next(), rig.pending(), rig.reboot.times) == ("2", None, 0)
    await (await rig.start("boot-2")).resume()
    assert (tmp_path / "ran").read_text() == "2\n"


async def test_resume_without_a_hook_has_nothing_to_run(rig):
    await crash(rig)
    await (await rig.start("boot-2")).resume()
    assert (rig.next(), rig.pending()) == ("2", None)


@pytest.mark.parametrize("before", [None, 1])
async def test_resume_reverts_a_choice_that_cannot_be_activated(rig, before, caplog):
    await crash(rig, before=before)
    rig.activate_hook = rig.hook("activate", "echo in vain; exit 1")
    await (await rig.start()).resume()
    assert rig.next() == (None if before is None else str(before))
    assert rig.pending() is None
    [record] = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "is reverted" in record.getMessage()
    assert "in vain" in record.getMessage()


@pytest.mark.parametrize("before", [None, 1])
async def test_resume_clears_an_upgrade_that_crashed_before_the_link(rig, before, tmp_path):
    await crash(rig, before=before, linked=False)
    rig.activate_hook = rig.hook("activate", f"touch {tmp_path}/ran")
    await (await rig.start()).resume()
    assert rig.next() == (None if before is None else str(before))
    assert rig.pending() is None
    assert not (tmp_path / "ran").exists()


async def test_resume_reverts_a_choice_without_an_image(rig, tmp_path):
    await crash(rig, before=1)
    (rig.slots_root / "2" / "manifest.json").unlink()
    rig.activate_hook = rig.hook("activate", f"touch {tmp_path}/ran")
    await (await rig.start()).resume()
    assert (rig.next(), rig.pending()) == ("1", None)
    assert not (tmp_path / "ran").exists()


async def test_a_former_choice_without_an_image_is_not_restored(rig):
    await crash(rig, before=1)
    (rig.slots_root / "1" / "manifest.json").unlink()
    rig.activate_hook = rig.hook("activate", "exit 1")
    await (await rig.start()).resume()
    assert (rig.next(), rig.pending()) == (None, None)


async def test_resume_on_a_broken_disk_leaves_the_record_for_the_next_start(rig, caplog):
    await crash(rig)
    daemon = await rig.start()
    (rig.slots_root / ".boot.json.new").mkdir()
    await daemon.resume()
    assert "can be neither completed nor reverted" in caplog.text
    assert rig.pending() == {"slot": 2, "before": None}


async def test_an_upgrade_waits_for_the_resume(rig, fifo, tmp_path):
    go = tmp_path / "go"
    os.mkfifo(go)
    await crash(rig)
    rig.activate_hook = rig.hook("activate", f'[ "$SPSD_SLOT" = 1 ] || (echo > {fifo}; cat {go})')
    daemon = await rig.start()
    resuming = asyncio.create_task(daemon.resume())
    await read(fifo)
    upgrading = asyncio.create_task(daemon.upgrade(1, message=None, account="ann"))
    done, _ = await asyncio.wait([upgrading], timeout=0.3)
    assert (done, rig.next()) == (set(), "2")
    await asyncio.to_thread(go.write_text, "\n")
    await asyncio.gather(resuming, upgrading)
    assert (rig.next(), rig.pending()) == ("1", None)
