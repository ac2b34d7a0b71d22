"""TODO."""

import asyncio
import os
import threading
from contextlib import asynccontextmanager

import pytest

from spsd.system import loop_thread as niceness
from spsd.system.loop_thread import (
    STEP,
    LoopEndedError,
    LoopThread,
    lower_priority,
    open_loop_thread,
)

NAME = "spsd-test"


@pytest.fixture
async def thread():
    async with open_loop_thread(NAME) as opened:
        yield opened


async def identity():
    return asyncio.get_running_loop(), threading.current_thread().name


async def test_work_runs_in_another_loop_and_thread(thread):
    loop, name = await thread.run(identity())
    assert loop is not asyncio.get_running_loop()
    assert name.startswith(NAME)
    assert await thread.run(identity()) == (loop, name)


async def test_what_it_raises_comes_through_as_it_is(thread):
    raised = KeyError("this one")

    async def fail():
        raise raised

    with pytest.raises(KeyError) as caught:
        await thread.run(fail())
    assert caught.value is raised
    await thread.wait_for_iteration()


class Slow:
    """Work that takes its time to end once it is cancelled."""

    def __init__(self, *, ends=None):
        self.begun, self.cancelled, self.over = (threading.Event() for _ in range(3))
        self.cleaned, self.ends = asyncio.Event(), ends

    async def work(self):
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            await self.cleaned.wait()
            self.over.set()
            if isinstance(self.ends, Exception):
                raise self.ends from None
            if self.ends is not None:
                return self.ends
            raise


async def on(event):
    await asyncio.to_thread(event.wait)


async def test_a_cancel_is_passed_on_and_waited_for(thread):
    slow = Slow()
    waiting = asyncio.create_task(thread.run(slow.work()))
    await on(slow.begun)
    waiting.cancel()
    await on(slow.cancelled)
    await thread.wait_for_iteration()
    assert not waiting.done()
    thread._loop.call_soon_threadsafe(slow.cleaned.set)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert slow.over.is_set()


async def test_a_second_cancel_waits_as_well(thread):
    """It reaches the clean-up, as it would here; that ends, and only then the wait does."""
    slow = Slow()
    waiting = asyncio.create_task(thread.run(slow.work()))
    await on(slow.begun)
    waiting.cancel()
    await on(slow.cancelled)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not slow.over.is_set()
    assert await thread.run(tasks()) == 1


async def tasks():
    return len(asyncio.all_tasks() - {asyncio.current_task()})


async def test_what_a_cancelled_one_fails_with_comes_through(thread):
    slow = Slow(ends=ValueError("a bug"))
    waiting = asyncio.create_task(thread.run(slow.work()))
    await on(slow.begun)
    waiting.cancel()
    thread._loop.call_soon_threadsafe(slow.cleaned.set)
    with pytest.raises(ValueError, match="a bug"):
        await waiting


async def test_a_result_in_spite_of_a_cancel_is_none(thread):
    slow = Slow(ends="a result")
    waiting = asyncio.create_task(thread.run(slow.work()))
    await on(slow.begun)
    waiting.cancel()
    thread._loop.call_soon_threadsafe(slow.cleaned.set)
    with pytest.raises(asyncio.CancelledError):
        await waiting


@pytest.mark.parametrize("ends", ["a result", ValueError("too late")])
async def test_a_cancel_that_meets_the_end_is_not_lost(thread, ends):
    async def end():
        if isinstance(ends, Exception):
            raise ends
        return ends

    waiting = asyncio.create_task(thread.run(end()))
    await asyncio.sleep(0)
    # It ends over there while this loop stands still: both are news of its next turn.
    over = threading.Event()
    thread._loop.call_soon_threadsafe(later, thread._loop, over.set, 5)
    while not over.is_set():
        pass
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


def later(loop, callback, wait_for_iteration):
    if wait_for_iteration == 0:
        callback()
    else:
        loop.call_soon(later, loop, callback, wait_for_iteration - 1)


async def test_one_that_is_cancelled_before_it_begins_leaves_nothing(thread):
    waiting = asyncio.create_task(thread.run(asyncio.sleep(60)))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await thread.run(tasks()) == 1


async def test_closing_ends_what_still_runs():
    slow = Slow()
    slow.cleaned.set()
    async with open_loop_thread(NAME) as thread:
        waiting = asyncio.create_task(thread.run(slow.work()))
        await on(slow.begun)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert slow.over.is_set()
    with pytest.raises(LoopEndedError):
        await thread.run(asyncio.sleep(0))
    with pytest.raises(LoopEndedError):
        await thread.wait_for_iteration()


async def test_a_cancelled_closing_closes():
    opened = []

    async def use():
        async with open_loop_thread(NAME) as thread:
            opened.append(thread)

    using = asyncio.create_task(use())
    while not opened:
        await asyncio.sleep(0)
    using.cancel()
    with pytest.raises(asyncio.CancelledError):
        await using
    assert opened[0]._loop.is_closed()
    assert not [one for one in threading.enumerate() if one.name.startswith(NAME)]


async def test_a_context_is_opened_and_closed_over_there(thread):
    met = []

    @asynccontextmanager
    async def context():
        met.append(await identity())
        yield "inside"
        met.append(await identity())

    async with thread.entered(context()) as value:
        assert value == "inside"
    assert met == [await thread.run(identity())] * 2


async def test_a_context_whose_opening_is_cancelled_is_closed(thread):
    met, gate, begun = [], asyncio.Event(), threading.Event()

    @asynccontextmanager
    async def context():
        begun.set()
        try:
            await gate.wait()
        except asyncio.CancelledError:
            met.append("opened all the same")
        yield
        met.append("closed")

    async def use():
        async with thread.entered(context()):
            met.append("inside")

    using = asyncio.create_task(use())
    await on(begun)
    using.cancel()
    with pytest.raises(asyncio.CancelledError):
        await using
    assert met == ["opened all the same", "closed"]


async def test_a_loop_that_dies_ends_whoever_waits_for_it():
    def die():
        raise SystemExit("no loop any more")

    thread = LoopThread(NAME)
    work = asyncio.create_task(thread.run(asyncio.sleep(60)))
    watch = asyncio.create_task(thread.watch())
    await thread.wait_for_iteration()
    thread._loop.call_soon_threadsafe(die)
    ended, seen = await asyncio.gather(work, watch, return_exceptions=True)
    # The work that ran there was cancelled when the loop ended.
    assert isinstance(ended, asyncio.CancelledError)
    assert isinstance(seen, LoopEndedError)
    with pytest.raises(LoopEndedError) as caught:
        await thread.wait_for_iteration()
    assert isinstance(caught.value.__cause__, SystemExit)
    with pytest.raises(LoopEndedError):
        await thread.close()


async def test_its_thread_gives_way(thread):
    ours = os.getpriority(os.PRIO_PROCESS, 0)

    async def nice():
        return os.getpriority(os.PRIO_PROCESS, 0)

    assert await thread.run(nice()) == min(19, ours + STEP)
    assert await thread.run(asyncio.to_thread(os.getpriority, os.PRIO_PROCESS, 0)) == min(
        19, ours + STEP
    )
    assert os.getpriority(os.PRIO_PROCESS, 0) == ours


def test_to_give_way_twice_is_to_give_way_once():
    """A thread is born as nice as the one that starts it."""
    found = []

    def work():
        lower_priority()
        lower_priority()
        found.append(os.getpriority(os.PRIO_PROCESS, 0))

    one = threading.Thread(target=work)
    one.start()
    one.join()
    assert found == [min(19, os.getpriority(os.PRIO_PROCESS, os.getpid()) + STEP)]


async def test_a_system_that_refuses_is_told_of_once(monkeypatch, caplog):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(niceness.os, "setpriority", refuse)
    async with open_loop_thread(NAME) as thread:
        assert await thread.run(asyncio.sleep(0, "it works")) == "it works"
        assert isinstance(await asyncio.to_thread(lower_priority), PermissionError)
    [told] = caplog.messages
    assert told == (
        "the thread spsd-test cannot give way to requests: [Errno 1] Operation not permitted"
    )
