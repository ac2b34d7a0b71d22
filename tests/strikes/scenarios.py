"""What is struck: each use case with the life before it, and what is to be seen after it."""

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
from tests.strikes.life import BUDGET, Life, Place
from tests.strikes.pieces import PIECE, Body
from tests.strikes.steps import FAILURES

A, B = (b"\0" + bytes([n]) * (3 * PIECE + 499) for n in (1, 2))
PATHS = {"/a": A, "/b": B}
SHA = {path: hashlib.sha256(content).hexdigest() for path, content in PATHS.items()}
ETAG = '"v1"'
WRONG = hashlib.sha256(b"another").hexdigest()
Part = Callable[[Life], Awaitable[None]]
Held = dict[int, bytes]


async def nothing(life: Life) -> None:
    pass


def anything(place: Place, held: Held) -> None:
    pass


@dataclass(frozen=True)
class Scenario:
    """``prepare`` is a life before, ``act`` is what is struck; ``acts`` are the origin's.

    ``least`` is the number of steps of a run that nothing strikes. ``codes``: what a job may fail
    of without a strike.
    """

    act: Part
    min_chunk: int
    prepare: Part = nothing
    first: Sequence[Act] = ()
    acts: Sequence[Act] = ()
    codes: Sequence[str] = ()
    frugal: bool = True
    """No byte that is here is fetched again."""
    steady: bool = True
    """Each run has the same number of steps; connections that race have a step more or less."""
    from_the_start: bool = False
    check: Callable[[Place, Held], None] = anything
    after: Part = nothing
    """What a client does in the life after, and it works."""


async def fetch(life: Life) -> None:
    await life.submit("/a", SHA["/a"])
    await life.idle()


async def fetch_in_parts(life: Life) -> None:
    life.resources.attempts.change_splitting(
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
    await fetch(life)


async def fetch_wrong(life: Life) -> None:
    await life.submit("/a", WRONG)
    await life.idle()


async def held_and_stopped(life: Life) -> None:
    life.gate.after = 2
    await life.submit("/a", SHA["/a"])
    await life.until(lambda: life.gate.holds)
    life.stop()
    # Or whoever waits for the life to be idle lets the rest of the body pass first.
    await life.until(lambda: life.is_over)


async def go_on(life: Life) -> None:
    await life.idle()


async def cancel_running(life: Life) -> None:
    life.gate.after = 2
    key = await life.submit("/a", SHA["/a"])
    await life.until(lambda: life.gate.holds)
    await life.delete(key)
    await life.idle()


async def cancel_queued(life: Life) -> None:
    """The second job waits for the first, of the same digest, and goes before it."""
    life.gate.after = 2
    first = await life.submit("/a", SHA["/a"])
    second = await life.submit("/a", SHA["/a"])
    await life.until(lambda: life.gate.holds)
    await life.delete(second)
    await life.delete(first)
    await life.idle()


async def cancel_with_an_heir(life: Life) -> None:
    """Another job waits for the same digest, and gets its turn."""
    life.gate.after = 2
    first = await life.submit("/a", SHA["/a"])
    await life.submit("/a", SHA["/a"])
    await life.until(lambda: life.gate.holds)
    life.gate.after = None
    await life.delete(first)
    await life.idle()


async def upload(life: Life) -> None:
    life.place.facts["uploaded"] = await life.ask(
        lambda: life.uploads.receive(Body(A, life.steps), length=len(A), expected=SHA["/a"])
    )
    await life.idle()


def uploaded_or_not(place: Place, held: Held) -> None:
    if place.facts["uploaded"] is not None:
        slot, image = place.facts["uploaded"]
        assert (held[slot], image.sha256) == (A, SHA["/a"])
    assert len(held) <= 1


async def upload_wrong(life: Life) -> None:
    body = Body(A, life.steps)
    assert await life.ask(lambda: life.uploads.receive(body, length=None, expected=WRONG)) is None
    await life.idle()


def nothing_is_held(place: Place, held: Held) -> None:
    assert held == {}


async def upload_both(life: Life) -> None:
    for content in (A, B):
        await life.uploads.receive(Body(content, life.steps), length=None, expected=None)


async def failed_with_bytes(life: Life) -> None:
    await life.submit("/a", SHA["/a"])
    await life.idle()


async def failed_and_uploaded(life: Life) -> None:
    await failed_with_bytes(life)
    await upload(life)


def only_the_first_slot(place: Place, held: Held) -> None:
    assert held == {1: A}


async def remove_record(life: Life) -> None:
    [job] = await life.rows.list()
    await life.delete(job.key)
    await life.idle()


async def empty_slot(life: Life) -> None:
    async def emptied() -> bool:
        await life.slots.empty(2)
        return True

    life.place.facts["emptied"] = await life.ask(emptied)
    await life.idle()


def emptied_or_not(place: Place, held: Held) -> None:
    assert held == {1: A} if place.facts["emptied"] else held in ({1: A}, {1: A, 2: B})


async def both_and_a_hook(life: Life) -> None:
    await upload_both(life)
    add_hook(life)


def add_hook(life: Life) -> None:
    hook = life.place.root / "hook"
    hook.write_text('#!/bin/sh\necho run >> "${SPSD_IMAGE%/slots/*}/ran"\n')
    hook.chmod(0o755)
    life.place.facts["activate_hook"] = str(hook)


async def upgrade(life: Life) -> None:
    life.place.facts["upgraded"] = await life.ask(
        lambda: life.upgrade.upgrade(2, message=None, account="ann")
    )
    await life.idle()


def chosen_and_activated_or_not(place: Place, held: Held) -> None:
    assert held == {1: A, 2: B}
    link = place.slots / "next"
    chosen = str(link.readlink()) if link.is_symlink() else None
    assert chosen in (("2",) if place.facts["upgraded"] else ("2", None))
    if chosen == "2":
        assert (place.root / "ran").exists(), "the choice stands although nothing was activated"


async def back_and_empty(life: Life) -> None:
    """Nothing holds on to the slot any more."""
    assert life.slots.pending is None
    await life.upgrade.upgrade(1, message=None, account="ann")
    await life.slots.empty(2)


async def wreck(life: Life) -> None:
    """What may lie there after a cut: two jobs under way, one that cut it too often, and more."""
    jobs, place = life.rows, life.place
    staging = life.resources.staging
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
            await life.store.install(2, image, download_key(sha))
        if sha == WRONG:
            await jobs.move(job, replace(job.advanced(Progress(), now=3), spent=BUDGET))
    async with staging.open(upload_key(uuid.uuid4())) as partial:
        await partial.append(A)
    (place.slots / f".trash-{uuid.uuid4()}").mkdir()
    await life.slots.choose(2, image_of(await life.store.slots(), 2))
    place.facts["upgraded"] = None
    add_hook(life)


async def settled(life: Life) -> None:
    assert life.slots.pending is None
    refused = life.place.facts["struck"] == "hooks.run" and life.place.facts["how"] in FAILURES
    assert await life.slots.chosen() == (None if refused else 2)


def image_of(slots: Mapping[int, object], slot: int) -> InstalledImage:
    image = slots[slot]
    assert isinstance(image, InstalledImage)
    return image


SCENARIOS = {
    "fetch": Scenario(fetch, 20),
    "fetch, cut twice": Scenario(fetch, 25, acts=[CutAfter(1200), CutAfter(700)]),
    "fetch, resumed": Scenario(go_on, 20, prepare=held_and_stopped),
    "fetch, in parts": Scenario(fetch_in_parts, 25, frugal=False, steady=False),
    "fetch, wrong bytes": Scenario(fetch_wrong, 20, codes=["digest"], frugal=False),
    "fetch, here already": Scenario(
        fetch,
        10,
        prepare=failed_and_uploaded,
        first=[CutAfter(1200), Status(403)],
        codes=["origin_status"],
        check=only_the_first_slot,
    ),
    "cancel, running": Scenario(cancel_running, 15),
    "cancel, queued": Scenario(cancel_queued, 15),
    "cancel, with an heir": Scenario(cancel_with_an_heir, 15),
    "polite stop": Scenario(held_and_stopped, 10),
    "upload": Scenario(upload, 10, check=uploaded_or_not),
    "upload, wrong bytes": Scenario(upload_wrong, 10, check=nothing_is_held),
    "delete a record": Scenario(
        remove_record,
        4,
        prepare=failed_with_bytes,
        first=[CutAfter(1200), Status(403)],
        codes=["origin_status"],
    ),
    "delete a slot": Scenario(empty_slot, 3, prepare=upload_both, check=emptied_or_not),
    "upgrade": Scenario(
        upgrade,
        10,
        prepare=both_and_a_hook,
        check=chosen_and_activated_or_not,
        after=back_and_empty,
    ),
    "recovery": Scenario(
        go_on, 15, prepare=wreck, codes=["gave_up"], from_the_start=True, after=settled
    ),
}
