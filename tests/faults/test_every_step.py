"""Every use case, with a fault at its first step, its second, … until a run has no fault.

A step is a call of a port (tests/faults/steps.py). A fault is what may happen there: the call
raises, before or after its work; the task is cancelled before, during or after it; a stop or a
client's DELETE comes during it; the process is killed. The adapters are real: sockets, files,
SQLite. The daemon with the fault becomes idle or ends. Then a new daemon recovers and continues
with a good origin, and the promises are checked (tests/faults/promises.py).
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
from tests.faults import promises
from tests.faults.daemon_run import BUDGET, Place, daemon_run
from tests.faults.scenarios import ETAG, PATHS, SCENARIOS, SHA, A, B, Scenario
from tests.faults.steps import FAILURES, Fault, Steps


@pytest.fixture
def memory() -> Iterator[Path]:
    root = Path(tempfile.mkdtemp(dir=in_memory()))
    yield root
    shutil.rmtree(root)


async def prepared(root: Path, scenario: Scenario, origin: Origin) -> Place:
    """A place with a database and the results of the scenario's preparation."""
    place = Place(root / "prepared", origin)
    place.staging.mkdir(parents=True)
    place.slots.mkdir()
    await prepare(place.root)
    origin.script(*scenario.first)
    async with daemon_run(place, Steps()) as run:
        await run.start(counts=False)
        await scenario.prepare(run)
    assert run.failures == []
    return place


async def copied(template: Place, root: Path) -> Place:
    await asyncio.to_thread(shutil.copytree, template.root, root, symlinks=True)
    facts, acknowledged = dict(template.facts), dict(template.acknowledged)
    return Place(root, template.origin, acknowledged, facts=facts)


async def run_with_fault(place: Place, scenario: Scenario, steps: Steps) -> None:
    """Run the daemon with the fault: it becomes idle and keeps its promises, or it ends."""
    place.origin.script(*scenario.acts)
    async with daemon_run(place, steps) as run:
        await run.start(counts=scenario.from_the_start)
        if not run.is_over:
            await scenario.act(run)
            await run.idle()
        if not run.is_over:
            await promises.no_slot_is_leased(run)
            jobs = await promises.jobs_are_over(run, codes=codes(scenario, steps))
            if not (steps.how in FAILURES and steps.faulty_call in TIDIED_LATER):
                promises.staging_is_clean_or_reusable(place, jobs)
    place.facts |= {"faulty_call": steps.faulty_call, "how": steps.how}
    for error in run.failures:
        assert is_thrown(error, steps), f"the daemon ended of {error!r}"
        assert is_fatal(steps.faulty_call), f"the daemon ended of {error!r}"
    for error in run.answers:
        assert is_thrown(error, steps) or isinstance(error, RequestError), repr(error)


TIDIED_LATER = ("staging.discard", "jobs.remove", "jobs.resumable_digests")
"""If these fail, a partial file may stay until the next start."""
ENDS_THE_DAEMON = ("slots.slots", "slots.remove_leftovers", "staging.keys")
"""The daemon cannot continue without these lists; calls of SQLite end it, too."""


def is_thrown(error: BaseException, steps: Steps) -> bool:
    """Whether it is the injected error, or has it as its cause."""
    return steps.error is not None and steps.error in (error, error.__cause__)


def codes(scenario: Scenario, steps: Steps) -> list[str]:
    thrown = [steps.error.code] if isinstance(steps.error, JobError) else []
    return [*scenario.codes, *thrown]


async def recover(place: Place, scenario: Scenario, steps: Steps) -> None:
    """Start the daemon again, with a good origin: all jobs end, and the promises hold."""
    place.origin.script()
    partial_bytes = {path: place.partial_bytes(sha) for path, sha in SHA.items()}
    before = len(place.origin.requests)
    async with daemon_run(place, Steps()) as run:
        await run.start(counts=False)
        await run.idle()
        assert not run.is_over
        await promises.no_slot_is_leased(run)
        jobs = await promises.jobs_are_over(run, codes=codes(scenario, steps))
        held = promises.read_slots(place, [A, B])
        scenario.check(place, held)
        await scenario.after(run)
    assert run.failures == []
    promises.finished_jobs_have_their_images(jobs, held)
    promises.staging_is_clean_or_reusable(place, jobs)
    if scenario.no_byte_twice:
        for path, content in PATHS.items():
            requests = [item for item in place.origin.requests[before:] if item.path == path]
            assert (
                sum(request.sent for request in requests) <= len(content) - partial_bytes[path]
            ), "bytes came twice"


async def inject_into_every_step(
    memory: Path, scenario: Scenario, how: Fault, *, first: int = 1, every: int = 1
) -> tuple[int, list[str]]:
    """Inject the fault at each step; returns the number of faults and the last run's steps."""
    count = 0
    async with Origin(PATHS, etag=ETAG) as origin:
        template = await prepared(memory, scenario, origin)
        at = first
        while True:
            place = await copied(template, memory / str(at))
            steps = Steps(at, how)
            try:
                await run_with_fault(place, scenario, steps)
                await recover(place, scenario, steps)
            except BaseException as error:
                error.add_note(f"{how.name} at step {at}, {steps.faulty_call}, of {steps.trace}")
                raise
            await asyncio.to_thread(shutil.rmtree, place.root)
            if steps.faulty_call is None:
                return count, steps.trace
            count, at = count + 1, at + every


@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_sample_of_the_steps(memory, name):
    for first, how in enumerate((Fault.FAIL_AFTER, Fault.CANCEL_DURING, Fault.KILL_BEFORE), 1):
        root = memory / how.name
        count, trace = await inject_into_every_step(
            root, SCENARIOS[name], how, first=first, every=7
        )
        assert count
        assert count == len(range(first, len(trace) + 1, 7)) or not SCENARIOS[name].same_steps


async def test_a_stopping_daemon_accepts_no_requests(memory):
    """The harness stops accepting requests before the database is closed, as the server does."""
    async with Origin(PATHS, etag=ETAG) as origin:
        place = await prepared(memory, SCENARIOS["fetch"], origin)
        async with daemon_run(place, Steps()) as run:
            await run.start(counts=False)
            run.stop()
            while not run.is_over:
                await run.ask(lambda: run.downloads.delete(JobKey(str(uuid4()))))
                await asyncio.sleep(0)
    assert all(isinstance(error, RequestError) for error in run.answers), run.answers


async def test_the_database_is_open_until_the_last_request_ends(memory):
    """After several stops the daemon still waits for its requests before it closes."""
    async with Origin(PATHS, etag=ETAG) as origin:
        place = await prepared(memory, SCENARIOS["fetch"], origin)
        async with daemon_run(place, Steps()) as run:
            await run.start(counts=False)
            waits, lists = asyncio.Event(), []

            async def list_again():
                for _ in range(10):
                    lists.extend(await run.downloads.list() or ["nothing"])

            async def slow():
                try:
                    waits.set()
                    await asyncio.Event().wait()
                finally:
                    await to_completion(list_again())

            asking = asyncio.create_task(run.ask(slow))
            await waits.wait()
            while not run.is_over:
                run.stop()
                await asyncio.sleep(0)
            await asking
    assert run.answers == []
    assert lists == ["nothing"] * 10


SIMILAR = (Fault.FULL, Fault.CANCEL_BEFORE, Fault.KILL_AFTER)
"""Similar to another fault, or to one at the step before: tried only for the main use cases."""
CASES = [
    (name, how)
    for name in SCENARIOS
    for how in Fault
    if how is not Fault.FAIL_EVER and (how not in SIMILAR or name in ("fetch", "upload", "upgrade"))
]


@pytest.mark.parametrize(("name", "how"), CASES)
async def test_every_step(memory, tally, name, how):
    scenario = SCENARIOS[name]
    count, trace = await inject_into_every_step(memory, scenario, how)
    assert count >= scenario.least_steps
    assert count == len(trace) or not scenario.same_steps
    tally("faults at the steps of the use cases, each with a recovery", count)


MOST_RUNS = BUDGET + 2


@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_call_that_always_fails_does_not_end_the_daemon_for_ever(memory, tally, name):
    """If a call of the disk or an origin fails for ever, a daemon soon stays up and is idle."""
    scenario = SCENARIOS[name]
    async with Origin(PATHS, etag=ETAG) as origin:
        template = await prepared(memory, scenario, origin)
        without_fault = Steps()
        await run_with_fault(
            await copied(template, memory / "without_fault"), scenario, without_fault
        )
        calls = [call for call in dict.fromkeys(without_fault.trace) if not is_fatal(call)]
        for number, call in enumerate(calls):
            place = await copied(template, memory / str(number))
            await run_with_fault(place, scenario, Steps(0, Fault.FAIL_EVER, call))
            assert await daemon_stays_up(place, call), f"{call} ends every run"
        assert calls
        tally("calls that fail for ever, and the daemon stays up", len(calls))


async def daemon_stays_up(place: Place, call: str) -> bool:
    for _ in range(MOST_RUNS):
        async with daemon_run(place, Steps(0, Fault.FAIL_EVER, call)) as run:
            await run.start(counts=True)
            await run.idle()
            if not run.is_over:
                return True
    return False


def is_fatal(call: str) -> bool:
    return call in ENDS_THE_DAEMON or call.startswith("jobs.")
