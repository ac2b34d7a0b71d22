"""Attempts in the second event loop: reports, cancellation and errors across the two loops."""

import asyncio
import os
import threading

import pytest

from spsd.digest import Sha256
from spsd.failures import FailureCode, OriginError
from spsd.testing.origin import CutAfter, Drip, Hang, Origin
from spsd.transfer.attempt import LocalAttempts
from spsd.transfer.ports import AttemptStoppedError, download_key
from spsd.transfer.rules.chunks import MIB
from spsd.transfer.worker import WorkerAttempts
from testbed.waiting import until
from tests.bench import PATH
from tests.transfer.scripted import ScriptedOrigin

KEY = download_key(Sha256("a" * 64))


@pytest.fixture
async def partial(bench):
    async with bench.resources.staging.open(KEY) as opened:
        yield opened


async def tasks_in_worker(bench):
    async def count():
        return len(asyncio.all_tasks() - {asyncio.current_task()})

    return await bench.resources.attempts._thread.run(count())


async def ignore_report(_):
    pass


@pytest.mark.parametrize("error", [AttemptStoppedError(), KeyError("a bug")])
async def test_a_report_that_fails_ends_the_attempt(bench, partial, error):
    async def report(progress):
        assert threading.current_thread() is threading.main_thread()
        if progress.done:
            raise error

    async with Origin({PATH: bench.content}, always=Drip(1000, 0.02)) as origin:
        with pytest.raises(type(error)) as caught:
            await bench.resources.attempts.attempt(origin.url(PATH), partial, report)
        assert caught.value is error
        assert 0 < partial.length < len(bench.content)
    assert await tasks_in_worker(bench) == 1


async def test_a_report_that_fails_at_once_does_not_wait_for_the_body(bench, partial):
    async def report(_):
        raise AttemptStoppedError

    async with Origin({PATH: bench.content}, always=Hang(1000)) as origin:
        with pytest.raises(AttemptStoppedError):
            await bench.resources.attempts.attempt(origin.url(PATH), partial, report)
        # A stall would have raised another error.
    assert await tasks_in_worker(bench) == 1


@pytest.mark.parametrize("act", [None, CutAfter(200_000)], ids=["whole", "cut off"])
async def test_the_last_progress_is_reported_before_the_end(bench, partial, act):
    reported = []

    async def report(progress):
        reported.append(progress.done)

    acts = [] if act is None else [act]
    async with Origin({PATH: bench.content}, acts) as origin:
        attempt = bench.resources.attempts.attempt(origin.url(PATH), partial, report)
        if act is None:
            await attempt
        else:
            with pytest.raises(OriginError) as caught:
                await attempt
            assert caught.value.code is FailureCode.CUT_OFF
    assert reported[0] == 0
    assert reported[-1] == partial.length > 0
    assert reported == sorted(reported)


async def test_no_block_waits_for_a_report(bench, partial):
    """A job row that cannot be written at the moment delays no download."""
    written = asyncio.Event()
    reported = []

    async def report(progress):
        await written.wait()
        reported.append(progress.done)

    async with Origin({PATH: bench.content}) as origin:
        attempt = asyncio.create_task(
            bench.resources.attempts.attempt(origin.url(PATH), partial, report)
        )
        await until(lambda: partial.length >= len(bench.content))
        assert reported == []
        assert not attempt.done()
        written.set()
        await attempt
    assert reported[0] == 0
    assert reported[-1] == len(bench.content)


BLOCKS = 2000


class Crumbs(ScriptedOrigin):
    async def blocks(self):
        for _ in range(BLOCKS):
            yield bytes(1000)


async def test_many_blocks_are_few_reports(bench, partial):
    reported = []

    async def report(progress):
        reported.append(progress.done)

    loop = asyncio.get_running_loop()
    thread, staging = bench.resources.attempts._thread, bench.resources.staging
    quick = LocalAttempts(Crumbs(content_length=f"{1000 * BLOCKS}"), staging, now=lambda: 0)
    begun = loop.time()
    await WorkerAttempts(thread, None, quick).attempt("http://a/", partial, report)
    periods = (loop.time() - begun) / 0.05
    assert reported[-1] == 1000 * BLOCKS
    assert len(reported) <= 2 * (periods + 2) < BLOCKS / 10


@pytest.mark.parametrize("after", range(7))
async def test_a_cancel_waits_until_the_partial_is_at_rest(bench, partial, after):
    content = os.urandom(8 * MIB)
    async with Origin({PATH: content}, [Drip(256 * 1024, 0.005)]) as origin:
        attempt = asyncio.create_task(
            bench.resources.attempts.attempt(origin.url(PATH), partial, ignore_report)
        )
        await origin.wait_for_requests(1)
        await until(lambda: partial.length >= after * MIB)
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        prefix = partial.length
        assert await tasks_in_worker(bench) == 1
        await bench.resources.attempts._thread.wait_for_iteration()
        assert after * MIB <= prefix == partial.length < len(content)
        # Another attempt continues from there, with the same partial.
        await bench.resources.attempts.attempt(origin.url(PATH), partial, ignore_report)
    assert await partial.read(0, len(content)) == content


async def test_a_cancel_while_a_report_is_written(bench, partial):
    writing = asyncio.Event()

    async def report(_):
        writing.set()
        await asyncio.Event().wait()

    async with Origin({PATH: bench.content}, always=Hang(1000)) as origin:
        attempt = asyncio.create_task(
            bench.resources.attempts.attempt(origin.url(PATH), partial, report)
        )
        await writing.wait()
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
    assert await tasks_in_worker(bench) == 1
