"""Every use case, struck at its first step, its second, its third … until one run gets through.

A step is a call at a port (tests/services/steps.py), a strike is what may happen there: the call
raises, before or after its work is done; the task is cancelled before, during or after it; a stop
or a client's DELETE comes meanwhile; the process is killed. The adapters are real: sockets,
files, SQLite. What is struck comes to rest or ends; then a new life recovers from what lies there
and goes on with a good origin, and the promises are checked (tests/services/promises.py).
"""

import asyncio
import hashlib
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from spsd.adapters.migrations import migrate
from spsd.domain.errors import RequestError
from spsd.domain.failure import JobError
from spsd.testing.origin import Act, CutAfter, Origin
from tests.services import promises
from tests.services.life import PIECE, Body, Life, Place, alive
from tests.services.steps import Steps, Strike

A, B = (b"\0" + bytes([n]) * (3 * PIECE + 499) for n in (1, 2))
PATHS = {"/a": A, "/b": B}
SHA = {path: hashlib.sha256(content).hexdigest() for path, content in PATHS.items()}
WRONG = hashlib.sha256(b"another").hexdigest()

Part = Callable[[Life], Awaitable[None]]


async def nothing(life: Life) -> None:
    pass


@dataclass(frozen=True)
class Scenario:
    """``prepare`` is a life before, ``act`` is what is struck; ``acts`` are the origin's.

    ``least`` is the number of steps of a run that nothing strikes. ``codes``: what a job may fail
    of without a strike.
    """

    act: Part
    least: int
    prepare: Part = nothing
    first: Sequence[Act] = ()
    acts: Sequence[Act] = ()
    codes: Sequence[str] = ()
    from_the_start: bool = False


async def fetch(life: Life) -> None:
    await life.submit("/a", SHA["/a"])
    await life.idle()


async def fetch_wrong(life: Life) -> None:
    await life.submit("/a", WRONG)
    await life.idle()


async def held_and_stopped(life: Life) -> None:
    life.hold_after = 2
    await life.submit("/a", SHA["/a"])
    await life.until(lambda: life.holds)
    life.stop()


async def go_on(life: Life) -> None:
    await life.idle()


async def cancel_running(life: Life) -> None:
    life.hold_after = 2
    key = await life.submit("/a", SHA["/a"])
    await life.until(lambda: life.holds)
    await life.delete(key)
    await life.idle()


async def cancel_queued(life: Life) -> None:
    """The second job waits for the first, of the same digest, and goes before it."""
    life.hold_after = 2
    first = await life.submit("/a", SHA["/a"])
    second = await life.submit("/a", SHA["/a"])
    await life.until(lambda: life.holds)
    await life.delete(second)
    await life.delete(first)
    await life.idle()


async def cancel_with_an_heir(life: Life) -> None:
    """Another job waits for the same digest, and gets its turn."""
    life.hold_after = 2
    first = await life.submit("/a", SHA["/a"])
    await life.submit("/a", SHA["/a"])
    await life.until(lambda: life.holds)
    life.hold_after = None
    await life.delete(first)
    await life.idle()


async def upload(life: Life) -> None:
    life.place.facts["uploaded"] = await life.ask(
        life.uploads.receive(Body(A, life.steps), length=len(A), expected=SHA["/a"])
    )
    await life.idle()


async def upload_wrong(life: Life) -> None:
    body = Body(A, life.steps)
    assert await life.ask(life.uploads.receive(body, length=None, expected=WRONG)) is None
    await life.idle()


async def upload_both(life: Life) -> None:
    for content in (A, B):
        await life.ask(life.uploads.receive(Body(content, life.steps), length=None, expected=None))


SCENARIOS = {
    "fetch": Scenario(fetch, 20),
    "fetch, cut twice": Scenario(fetch, 25, acts=[CutAfter(1200), CutAfter(700)]),
    "fetch, resumed": Scenario(go_on, 20, prepare=held_and_stopped),
    "fetch, wrong bytes": Scenario(fetch_wrong, 20, codes=["digest"]),
    "cancel, running": Scenario(cancel_running, 15),
    "cancel, queued": Scenario(cancel_queued, 15),
    "cancel, with an heir": Scenario(cancel_with_an_heir, 15),
    "polite stop": Scenario(held_and_stopped, 10),
    "upload": Scenario(upload, 10),
    "upload, wrong bytes": Scenario(upload_wrong, 10),
}


@pytest.fixture
def memory() -> Iterator[Path]:
    shm = Path("/dev/shm")
    root = Path(tempfile.mkdtemp(dir=shm if shm.is_dir() else None))
    yield root
    shutil.rmtree(root)


async def prepared(root: Path, scenario: Scenario, origin: Origin) -> Place:
    """A place with a database, and what the life before left."""
    place = Place(root / "prepared", origin)
    place.staging.mkdir(parents=True)
    place.slots.mkdir()
    await asyncio.to_thread(migrate, place.root / "db")
    origin.script(*scenario.first)
    async with alive(place, Steps()) as life:
        await life.start(counts=False)
        await scenario.prepare(life)
    assert life.failures == []
    return place


async def struck(place: Place, scenario: Scenario, steps: Steps) -> None:
    """The life that is struck: it comes to rest with its promises kept, or it is over."""
    place.origin.script(*scenario.acts)
    async with alive(place, steps) as life:
        await life.start(counts=scenario.from_the_start)
        if not life.is_over:
            await scenario.act(life)
            await life.idle()
        if not life.is_over:
            await promises.nothing_is_claimed(life)
            jobs = await promises.jobs_are_over(life, codes=codes(scenario, steps))
            left_open = steps.struck is not None and "discard" in steps.struck
            if not left_open:
                promises.nothing_is_left_in_staging(place, jobs)
    for error in life.failures:
        assert is_thrown(error, steps), f"the daemon ended of {error!r}"
        assert steps.struck in ENDS_THE_DAEMON or steps.struck.startswith("jobs."), (
            f"the daemon ended of {error!r}"
        )
    for error in life.answers:
        assert is_thrown(error, steps) or isinstance(error, RequestError), repr(error)


ENDS_THE_DAEMON = ("slots.slots", "staging.keys")


def is_thrown(error: BaseException, steps: Steps) -> bool:
    """Whether it is what was thrown, or follows from it and says so."""
    return steps.error is not None and steps.error in (error, error.__cause__)


def codes(scenario: Scenario, steps: Steps) -> list[str]:
    thrown = [steps.error.code] if isinstance(steps.error, JobError) else []
    return [*scenario.codes, *thrown]


async def afterwards(place: Place, scenario: Scenario, steps: Steps) -> None:
    """The next life, with a good origin: everything comes to its end, and the promises hold."""
    place.origin.script()
    kept = {path: place.kept(sha) for path, sha in SHA.items()}
    before = len(place.origin.requests)
    async with alive(place, Steps()) as life:
        await life.start(counts=False)
        await life.idle()
        assert not life.is_over
        await promises.nothing_is_claimed(life)
        jobs = await promises.jobs_are_over(life, codes=codes(scenario, steps))
    assert life.failures == []
    held = promises.slots_are_whole(place, [A, B])
    promises.finished_jobs_have_their_image(jobs, held)
    promises.nothing_is_left_in_staging(place, jobs)
    if not scenario.codes:
        for path, content in PATHS.items():
            asked = [one for one in place.origin.requests[before:] if one.path == path]
            assert sum(one.sent for one in asked) <= len(content) - kept[path], "bytes came twice"


async def strike_all(
    memory: Path, scenario: Scenario, how: Strike, *, first: int = 1, every: int = 1
) -> tuple[int, list[str]]:
    """Strike each step in its turn; gives how many were struck, and the steps of the last run."""
    count = 0
    async with Origin(PATHS, etag='"v1"') as origin:
        template = await prepared(memory, scenario, origin)
        at = first
        while True:
            place = Place(memory / str(at), origin, dict(template.acknowledged))
            place.facts.update(template.facts)
            await asyncio.to_thread(shutil.copytree, template.root, place.root, symlinks=True)
            steps = Steps(at, how)
            try:
                await struck(place, scenario, steps)
                await afterwards(place, scenario, steps)
            except BaseException as error:
                error.add_note(f"{how.name} at step {at}, {steps.struck}, of {steps.trace}")
                raise
            await asyncio.to_thread(shutil.rmtree, place.root)
            if steps.struck is None:
                return count, steps.trace
            count, at = count + 1, at + every


@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_sample_of_the_steps(memory, name):
    for first, how in enumerate((Strike.FAIL_AFTER, Strike.CANCEL_DURING, Strike.KILL_BEFORE), 1):
        root = memory / how.name
        count, trace = await strike_all(root, SCENARIOS[name], how, first=first, every=7)
        assert count >= len(trace) // 8 > 0


@pytest.mark.slow
@pytest.mark.parametrize("how", [how for how in Strike if how is not Strike.FAIL_EVER])
@pytest.mark.parametrize("name", SCENARIOS)
async def test_every_step(memory, tally, name, how):
    scenario = SCENARIOS[name]
    count, trace = await strike_all(memory, scenario, how)
    assert count == len(trace) >= scenario.least
    tally("strikes at the steps of the use cases, each with a recovery", count)
