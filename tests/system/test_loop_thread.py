"""The second event loop: results, errors, cancellation, its end, and its priority."""

import asyncio
import os
import threading
from contextlib import asynccontextmanager

import pytest

from spsd.system import loop_thread as subject
from spsd.system.loop_thread import (
    NICE_STEP,
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


async def test_an_error_of_the_work_is_raised_unchanged(thread):
    raised = KeyError("this one")

    async def fail():
        raise raised

    with pytest.raises(KeyError) as caught:
        await thread.run(fail())
    assert caught.value is raised
    await thread.wait_for_iteration()


class Slow:
    """Work that ends some time after it is cancelled: when ``cleaned`` is set."""

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


async def wait_for(event):
    await asyncio.to_thread(event.wait)


async def test_a_cancel_is_passed_on_and_waited_for(thread):
    slow = Slow()
    waiting = asyncio.create_task(thread.run(slow.work()))
    await wait_for(slow.begun)
    waiting.cancel()
    await wait_for(slow.cancelled)
    await thread.wait_for_iteration()
    assert not waiting.done()
    thread._loop.call_soon_threadsafe(slow.cleaned.set)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert slow.over.is_set()


async def test_a_second_cancel_is_waited_for_as_well(thread):
    """It interrupts the clean-up, as in one loop, and the call returns when that has ended."""
    slow = Slow()
    waiting = asyncio.create_task(thread.run(slow.work()))
    await wait_for(slow.begun)
    waiting.cancel()
    await wait_for(slow.cancelled)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not slow.over.is_set()
    assert await thread.run(count_other_tasks()) == 1


async def count_other_tasks():
    return len(asyncio.all_tasks() - {asyncio.current_task()})


async def test_an_error_after_a_cancel_is_raised(thread):
    slow = Slow(ends=ValueError("a bug"))
    waiting = asyncio.create_task(thread.run(slow.work()))
    await wait_for(slow.begun)
    waiting.cancel()
    thread._loop.call_soon_threadsafe(slow.cleaned.set)
    with pytest.raises(ValueError, match="a bug"):
        await waiting


async def test_a_result_after_a_cancel_is_dropped(thread):
    slow = Slow(ends="a result")
    waiting = asyncio.create_task(thread.run(slow.work()))
    await wait_for(slow.begun)
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
    # The work ends while this loop is blocked, so that the next iteration sees both events.
    over = threading.Event()
    thread._loop.call_soon_threadsafe(call_later, thread._loop, over.set, 5)
    while not over.is_set():
        pass
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


def call_later(loop, callback, iterations):
    if iterations == 0:
        callback()
    else:
        loop.call_soon(call_later, loop, callback, iterations - 1)


async def test_work_that_is_cancelled_before_it_begins_leaves_no_task(thread):
    waiting = asyncio.create_task(thread.run(asyncio.sleep(60)))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await thread.run(count_other_tasks()) == 1


async def test_closing_cancels_running_work():
    slow = Slow()
    slow.cleaned.set()
    async with open_loop_thread(NAME) as thread:
        waiting = asyncio.create_task(thread.run(slow.work()))
        await wait_for(slow.begun)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert slow.over.is_set()
    with pytest.raises(LoopEndedError):
        await thread.run(asyncio.sleep(0))
    with pytest.raises(LoopEndedError):
        await thread.wait_for_iteration()


async def test_a_cancelled_close_is_completed():
    opened = []

    async def use_it():
        async with open_loop_thread(NAME) as thread:
            opened.append(thread)

    using = asyncio.create_task(use_it())
    while not opened:
        await asyncio.sleep(0)
    using.cancel()
    with pytest.raises(asyncio.CancelledError):
        await using
    assert opened[0]._loop.is_closed()
    assert not [t for t in threading.enumerate() if t.name.startswith(NAME)]


async def test_a_context_is_entered_and_exited_in_the_second_loop(thread):
    events = []

    @asynccontextmanager
    async def context():
        events.append(await identity())
        yield "inside"
        events.append(await identity())

    async with thread.entered(context()) as value:
        assert value == "inside"
    assert events == [await thread.run(identity())] * 2


async def test_a_context_whose_entry_is_cancelled_is_exited(thread):
    events, gate, begun = [], asyncio.Event(), threading.Event()

    @asynccontextmanager
    async def context():
        begun.set()
        try:
            await gate.wait()
        except asyncio.CancelledError:
            events.append("opened all the same")
        yield
        events.append("closed")

    async def use_it():
        async with thread.entered(context()):
            events.append("inside")

    using = asyncio.create_task(use_it())
    await wait_for(begun)
    using.cancel()
    with pytest.raises(asyncio.CancelledError):
        await using
    assert events == ["opened all the same", "closed"]


async def test_the_end_of_the_loop_ends_every_waiting_call():
    def end_the_loop():
        raise SystemExit("the end of the loop")

    thread = LoopThread(NAME)
    work = asyncio.create_task(thread.run(asyncio.sleep(60)))
    ending = asyncio.create_task(thread.raise_when_ended())
    await thread.wait_for_iteration()
    thread._loop.call_soon_threadsafe(end_the_loop)
    work_error, loop_error = await asyncio.gather(work, ending, return_exceptions=True)
    # The work that ran there was cancelled when the loop ended.
    assert isinstance(work_error, asyncio.CancelledError)
    assert isinstance(loop_error, LoopEndedError)
    with pytest.raises(LoopEndedError) as caught:
        await thread.wait_for_iteration()
    assert isinstance(caught.value.__cause__, SystemExit)
    with pytest.raises(LoopEndedError):
        await thread.close()


async def test_its_threads_have_a_lower_priority(thread):
    ours = os.getpriority(os.PRIO_PROCESS, 0)

    async def nice():
        return os.getpriority(os.PRIO_PROCESS, 0)

    assert await thread.run(nice()) == min(19, ours + NICE_STEP)
    assert await thread.run(asyncio.to_thread(os.getpriority, os.PRIO_PROCESS, 0)) == min(
        19, ours + NICE_STEP
    )
    assert os.getpriority(os.PRIO_PROCESS, 0) == ours


def test_lowering_the_priority_twice_lowers_it_once():
    """A new thread inherits the niceness of the thread that starts it."""
    niceness = []

    def work():
        lower_priority()
        lower_priority()
        niceness.append(os.getpriority(os.PRIO_PROCESS, 0))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert niceness == [min(19, os.getpriority(os.PRIO_PROCESS, os.getpid()) + NICE_STEP)]


async def test_a_refused_priority_is_logged_once(monkeypatch, caplog):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(subject.os, "setpriority", refuse)
    async with open_loop_thread(NAME) as thread:
        assert await thread.run(asyncio.sleep(0, "it works")) == "it works"
        assert isinstance(await asyncio.to_thread(lower_priority), PermissionError)
    assert caplog.messages == [
        "the thread spsd-test runs without a lower priority: [Errno 1] Operation not permitted"
    ]
