"""The use cases into which faults are injected, with their preparation and their checks."""

import hashlib
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from spsd.jobs.job import Job, JobKey
from spsd.slots.model import ImageInfo, InstalledImage
from spsd.testing.origin import Act, CutAfter, Status
from spsd.transfer.ports import Progress, download_key, upload_key
from spsd.transfer.rules.chunks import Splitting
from spsd.transfer.rules.messages import ResponseHead
from tests.faults.daemon_run import BUDGET, DaemonRun, Place
from tests.faults.pieces import PIECE, Body
from tests.faults.steps import FAILURES

A, B = (b"\0" + bytes([n]) * (3 * PIECE + 499) for n in (1, 2))
PATHS = {"/a": A, "/b": B}
SHA = {path: hashlib.sha256(content).hexdigest() for path, content in PATHS.items()}
ETAG = '"v1"'
WRONG = hashlib.sha256(b"another").hexdigest()
Part = Callable[[DaemonRun], Awaitable[None]]
Held = dict[int, bytes]


async def nothing(run: DaemonRun) -> None:
    pass


def anything(place: Place, held: Held) -> None:
    pass


@dataclass(frozen=True)
class Scenario:
    """``prepare`` runs before, without faults, with the origin's acts ``first``.

    Faults are injected into ``act``, with the origin's ``acts``. ``least_steps`` is a lower bound
    of the number of steps without a fault. With ``codes`` a job may fail without a fault.
    """

    act: Part
    least_steps: int
    prepare: Part = nothing
    first: Sequence[Act] = ()
    acts: Sequence[Act] = ()
    codes: Sequence[str] = ()
    no_byte_twice: bool = True
    """No byte on disk is fetched again."""
    same_steps: bool = True
    """Each run has the same number of steps; connections that race have a step more or less."""
    from_the_start: bool = False
    check: Callable[[Place, Held], None] = anything
    after: Part = nothing
    """What a client does in the next run of the daemon; it must succeed."""


async def fetch(run: DaemonRun) -> None:
    await run.submit("/a", SHA["/a"])
    await run.idle()


async def fetch_in_parts(run: DaemonRun) -> None:
    run.resources.attempts.change_splitting(
        Splitting(
            2,
            sample=PIECE,
            worthwhile_s=0,
            fast_bytes_per_s=1e12,
            min_chunk=PIECE,
            max_chunk=PIECE,
            memory=2 * PIECE,
        )
    )
    await fetch(run)


async def fetch_wrong(run: DaemonRun) -> None:
    await run.submit("/a", WRONG)
    await run.idle()


async def stop_while_held(run: DaemonRun) -> None:
    run.gate.after = 2
    await run.submit("/a", SHA["/a"])
    await run.until(lambda: run.gate.holds)
    run.stop()
    # Otherwise the wait for an idle daemon would open the gate for the rest of the body.
    await run.until(lambda: run.is_over)


async def wait_until_idle(run: DaemonRun) -> None:
    await run.idle()


async def cancel_running(run: DaemonRun) -> None:
    run.gate.after = 2
    key = await run.submit("/a", SHA["/a"])
    await run.until(lambda: run.gate.holds)
    await run.delete(key)
    await run.idle()


async def cancel_queued(run: DaemonRun) -> None:
    """The second job waits for the first, which has the same digest, and is cancelled first."""
    run.gate.after = 2
    first = await run.submit("/a", SHA["/a"])
    second = await run.submit("/a", SHA["/a"])
    await run.until(lambda: run.gate.holds)
    await run.delete(second)
    await run.delete(first)
    await run.idle()


async def cancel_before_a_waiting_job(run: DaemonRun) -> None:
    """Another job waits for the same digest, and starts after the cancel."""
    run.gate.after = 2
    first = await run.submit("/a", SHA["/a"])
    await run.submit("/a", SHA["/a"])
    await run.until(lambda: run.gate.holds)
    run.gate.after = None
    await run.delete(first)
    await run.idle()


async def upload(run: DaemonRun) -> None:
    run.place.facts["uploaded"] = await run.ask(
        lambda: run.uploads.receive(Body(A, run.steps), length=len(A), expected=SHA["/a"])
    )
    await run.idle()


def check_uploaded(place: Place, held: Held) -> None:
    if place.facts["uploaded"] is not None:
        slot, image = place.facts["uploaded"]
        assert (held[slot], image.sha256) == (A, SHA["/a"])
    assert len(held) <= 1


async def upload_wrong(run: DaemonRun) -> None:
    body = Body(A, run.steps)
    assert await run.ask(lambda: run.uploads.receive(body, length=None, expected=WRONG)) is None
    await run.idle()


def check_no_image(place: Place, held: Held) -> None:
    assert held == {}


async def upload_both(run: DaemonRun) -> None:
    for content in (A, B):
        await run.uploads.receive(Body(content, run.steps), length=None, expected=None)


async def fail_with_partial(run: DaemonRun) -> None:
    await run.submit("/a", SHA["/a"])
    await run.idle()


async def fail_then_upload(run: DaemonRun) -> None:
    await fail_with_partial(run)
    await upload(run)


def check_only_first_slot(place: Place, held: Held) -> None:
    assert held == {1: A}


async def remove_record(run: DaemonRun) -> None:
    [job] = await run.rows.list()
    await run.delete(job.key)
    await run.idle()


async def empty_slot(run: DaemonRun) -> None:
    async def emptied() -> bool:
        await run.slots.empty(2)
        return True

    run.place.facts["emptied"] = await run.ask(emptied)
    await run.idle()


def check_emptied(place: Place, held: Held) -> None:
    assert held == {1: A} if place.facts["emptied"] else held in ({1: A}, {1: A, 2: B})


async def prepare_upgrade(run: DaemonRun) -> None:
    await upload_both(run)
    add_hook(run)


def add_hook(run: DaemonRun) -> None:
    hook = run.place.root / "hook"
    hook.write_text('#!/bin/sh\necho run >> "${SPSD_IMAGE%/slots/*}/ran"\n')
    hook.chmod(0o755)
    run.place.facts["activate_hook"] = str(hook)


async def upgrade(run: DaemonRun) -> None:
    run.place.facts["upgraded"] = await run.ask(
        lambda: run.upgrade.upgrade(2, message=None, account="ann")
    )
    await run.idle()


def check_chosen(place: Place, held: Held) -> None:
    assert held == {1: A, 2: B}
    link = place.slots / "next"
    chosen = str(link.readlink()) if link.is_symlink() else None
    assert chosen in (("2",) if place.facts["upgraded"] else ("2", None))
    if chosen == "2":
        assert (place.root / "ran").exists(), "the slot is chosen although the hook did not run"


async def choose_another_and_empty(run: DaemonRun) -> None:
    """After another choice the slot can be emptied."""
    assert run.slots.pending is None
    await run.upgrade.upgrade(1, message=None, account="ann")
    await run.slots.empty(2)


async def leave_interrupted_work(run: DaemonRun) -> None:
    """What a crash may leave: two running jobs, a third without attempts left, and other files."""
    jobs, place = run.rows, run.place
    staging = run.resources.staging
    for number, (path, sha) in enumerate([*SHA.items(), ("/a", WRONG)], 1):
        key = JobKey(f"job-{number}")
        url = place.origin.url(path)
        queued = Job.submitted(key, url, sha, now=1)
        place.acknowledged[key] = "queued"
        await jobs.add(queued)
        job = await jobs.move(queued, queued.start(number, now=2))
        async with staging.open(download_key(sha)) as partial:
            await partial.describe(url, ResponseHead(200, {"etag": ETAG}), len(A))
            await partial.append(PATHS[path] if path == "/b" else A[:PIECE])
            await partial.seal()
        if path == "/b":
            await jobs.move(job, job.verified(len(B), "proof", now=3))
            image = InstalledImage(sha, len(B), ImageInfo("unknown"), key, 3)
            await run.store.install(2, image, download_key(sha))
        if sha == WRONG:
            await jobs.move(job, replace(job.advanced(Progress(), now=3), spent=BUDGET))
    async with staging.open(upload_key(uuid.uuid4())) as partial:
        await partial.append(A)
    (place.slots / f".trash-{uuid.uuid4()}").mkdir()
    await run.slots.choose(2, image_of(await run.store.slots(), 2))
    place.facts["upgraded"] = None
    add_hook(run)


async def check_upgrade_is_settled(run: DaemonRun) -> None:
    assert run.slots.pending is None
    refused = run.place.facts["faulty_call"] == "hooks.run" and run.place.facts["how"] in FAILURES
    assert await run.slots.chosen() == (None if refused else 2)


def image_of(slots: Mapping[int, object], slot: int) -> InstalledImage:
    image = slots[slot]
    assert isinstance(image, InstalledImage)
    return image


SCENARIOS = {
    "fetch": Scenario(fetch, 20),
    "fetch, cut twice": Scenario(fetch, 25, acts=[CutAfter(1200), CutAfter(700)]),
    "fetch, resumed": Scenario(wait_until_idle, 20, prepare=stop_while_held),
    "fetch, in parts": Scenario(fetch_in_parts, 25, no_byte_twice=False, same_steps=False),
    "fetch, wrong bytes": Scenario(fetch_wrong, 20, codes=["digest"], no_byte_twice=False),
    "fetch, already in a slot": Scenario(
        fetch,
        10,
        prepare=fail_then_upload,
        first=[CutAfter(1200), Status(403)],
        codes=["origin_status"],
        check=check_only_first_slot,
    ),
    "cancel, running": Scenario(cancel_running, 15),
    "cancel, queued": Scenario(cancel_queued, 15),
    "cancel, with a waiting job": Scenario(cancel_before_a_waiting_job, 15),
    "polite stop": Scenario(stop_while_held, 10),
    "upload": Scenario(upload, 10, check=check_uploaded),
    "upload, wrong bytes": Scenario(upload_wrong, 10, check=check_no_image),
    "delete a record": Scenario(
        remove_record,
        4,
        prepare=fail_with_partial,
        first=[CutAfter(1200), Status(403)],
        codes=["origin_status"],
    ),
    "delete a slot": Scenario(empty_slot, 3, prepare=upload_both, check=check_emptied),
    "upgrade": Scenario(
        upgrade,
        10,
        prepare=prepare_upgrade,
        check=check_chosen,
        after=choose_another_and_empty,
    ),
    "recovery": Scenario(
        wait_until_idle,
        15,
        prepare=leave_interrupted_work,
        codes=["gave_up"],
        from_the_start=True,
        after=check_upgrade_is_settled,
    ),
}
