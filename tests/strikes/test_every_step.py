"""Every use case, struck at its first step, its second, its third … until one run gets through.

A step is a call at a port (tests/strikes/steps.py), a strike is what may happen there: the call
raises, before or after its work is done; the task is cancelled before, during or after it; a stop
or a client's DELETE comes meanwhile; the process is killed. The adapters are real: sockets,
files, SQLite. What is struck comes to rest or ends; then a new life recovers from what lies there
and goes on with a good origin, and the promises are checked (tests/strikes/promises.py).
"""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from spsd.cancellation import to_completion
from spsd.errors import RequestError
from spsd.failures import JobError
from spsd.jobs.job import JobKey
from spsd.testing.origin import Origin
from testbed.daemons import prepare
from testbed.memory import memory as in_memory
from tests.strikes import promises
from tests.strikes.life import BUDGET, Place, alive
from tests.strikes.scenarios import ETAG, PATHS, SCENARIOS, SHA, A, B, Scenario
from tests.strikes.steps import FAILURES, Steps, Strike


@pytest.fixture
def memory() -> Iterator[Path]:
    root = Path(tempfile.mkdtemp(dir=in_memory()))
    yield root
    shutil.rmtree(root)


async def prepared(root: Path, scenario: Scenario, origin: Origin) -> Place:
    """A place with a database, and what the life before left."""
    place = Place(root / "prepared", origin)
    place.staging.mkdir(parents=True)
    place.slots.mkdir()
    await prepare(place.root)
    origin.script(*scenario.first)
    async with alive(place, Steps()) as life:
        await life.start(counts=False)
        await scenario.prepare(life)
    assert life.failures == []
    return place


async def copied(template: Place, root: Path) -> Place:
    await asyncio.to_thread(shutil.copytree, template.root, root, symlinks=True)
    facts, told = dict(template.facts), dict(template.acknowledged)
    return Place(root, template.origin, told, facts=facts)


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
            if not (steps.how in FAILURES and steps.struck in TIDIED_LATER):
                promises.nothing_is_left_in_staging(place, jobs)
    place.facts |= {"struck": steps.struck, "how": steps.how}
    for error in life.failures:
        assert is_thrown(error, steps), f"the daemon ended of {error!r}"
        assert is_fatal(steps.struck), f"the daemon ended of {error!r}"
    for error in life.answers:
        assert is_thrown(error, steps) or isinstance(error, RequestError), repr(error)


TIDIED_LATER = ("staging.discard", "jobs.remove", "jobs.resumable_digests")
"""If these fail, a partial file may stay until the next start."""
ENDS_THE_DAEMON = ("slots.slots", "slots.remove_leftovers", "staging.keys")
"""Without a list of what is there nothing can go on; SQLite is the other."""


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
        held = promises.slots_are_whole(place, [A, B])
        scenario.check(place, held)
        await scenario.after(life)
    assert life.failures == []
    promises.finished_jobs_have_their_image(jobs, held)
    promises.nothing_is_left_in_staging(place, jobs)
    if scenario.frugal:
        for path, content in PATHS.items():
            asked = [one for one in place.origin.requests[before:] if one.path == path]
            assert sum(one.sent for one in asked) <= len(content) - kept[path], "bytes came twice"


async def strike_all(
    memory: Path, scenario: Scenario, how: Strike, *, first: int = 1, every: int = 1
) -> tuple[int, list[str]]:
    """Strike each step in its turn; gives how many were struck, and the steps of the last run."""
    count = 0
    async with Origin(PATHS, etag=ETAG) as origin:
        template = await prepared(memory, scenario, origin)
        at = first
        while True:
            place = await copied(template, memory / str(at))
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
        assert count
        assert count == len(range(first, len(trace) + 1, 7)) or not SCENARIOS[name].steady


async def test_clients_of_a_daemon_that_stops_meet_a_closed_door(memory):
    """The server stops listening before the database is closed: the harness has to, too."""
    async with Origin(PATHS, etag=ETAG) as origin:
        place = await prepared(memory, SCENARIOS["fetch"], origin)
        async with alive(place, Steps()) as life:
            await life.start(counts=False)
            life.stop()
            while not life.is_over:
                await life.ask(lambda: life.downloads.delete(JobKey(str(uuid4()))))
                await asyncio.sleep(0)
    assert all(isinstance(error, RequestError) for error in life.answers), life.answers


async def test_a_request_that_has_more_to_do_finds_the_database_open(memory):
    """However often the life is told to stop, it waits for its requests before it closes."""
    async with Origin(PATHS, etag=ETAG) as origin:
        place = await prepared(memory, SCENARIOS["fetch"], origin)
        async with alive(place, Steps()) as life:
            await life.start(counts=False)
            waits, found = asyncio.Event(), []

            async def look_again():
                for _ in range(10):
                    found.extend(await life.downloads.list() or ["nothing"])

            async def slow():
                try:
                    waits.set()
                    await asyncio.Event().wait()
                finally:
                    await to_completion(look_again())

            asking = asyncio.create_task(life.ask(slow))
            await waits.wait()
            while not life.is_over:
                life.stop()
                await asyncio.sleep(0)
            await asking
    assert life.answers == []
    assert found == ["nothing"] * 10


ALIKE = (Strike.FULL, Strike.CANCEL_BEFORE, Strike.KILL_AFTER)
"""Much like another strike, or like that at the step before: tried where most is at stake."""
CASES = [
    (name, how)
    for name in SCENARIOS
    for how in Strike
    if how is not Strike.FAIL_EVER and (how not in ALIKE or name in ("fetch", "upload", "upgrade"))
]


@pytest.mark.parametrize(("name", "how"), CASES)
async def test_every_step(memory, tally, name, how):
    scenario = SCENARIOS[name]
    count, trace = await strike_all(memory, scenario, how)
    assert count >= scenario.least
    assert count == len(trace) or not scenario.steady
    tally("strikes at the steps of the use cases, each with a recovery", count)


LIVES = BUDGET + 2


@pytest.mark.parametrize("name", SCENARIOS)
async def test_what_fails_for_ever_keeps_no_daemon_from_running(memory, tally, name):
    """Whatever the disk or an origin refuses for good, soon a life stays up with nothing to do."""
    scenario = SCENARIOS[name]
    async with Origin(PATHS, etag=ETAG) as origin:
        template = await prepared(memory, scenario, origin)
        unstruck = Steps()
        await struck(await copied(template, memory / "unstruck"), scenario, unstruck)
        calls = [call for call in dict.fromkeys(unstruck.trace) if not is_fatal(call)]
        for number, call in enumerate(calls):
            place = await copied(template, memory / str(number))
            await struck(place, scenario, Steps(0, Strike.FAIL_EVER, call))
            assert await comes_to_stay(place, call), f"{call} ends every life"
        assert calls
        tally("calls that fail for ever, and the daemon stays up", len(calls))


async def comes_to_stay(place: Place, call: str) -> bool:
    for _ in range(LIVES):
        async with alive(place, Steps(0, Strike.FAIL_EVER, call)) as life:
            await life.start(counts=True)
            await life.idle()
            if not life.is_over:
                return True
    return False


def is_fatal(call: str) -> bool:
    return call in ENDS_THE_DAEMON or call.startswith("jobs.")
