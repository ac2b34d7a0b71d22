"""Alarms that watch every test."""

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Iterator

import pytest
from blockbuster import BlockBuster


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop(request: pytest.FixtureRequest) -> Iterator[None]:
    """A blocking call of spsd inside a running event loop fails the test."""
    if not _is_async(request):
        yield
        return
    alarm = BlockBuster("spsd", excluded_modules=["spsd.testing"])
    alarm.activate()
    try:
        yield
    finally:
        alarm.deactivate()


@pytest.fixture(autouse=True)
def nothing_is_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """No thread of spsd's and no task survives a test."""
    before = _threads()
    if _is_async(request):
        request.getfixturevalue("_no_task_survives")
    yield
    left = _threads() - before
    assert not left, f"threads survive the test: {sorted(t.name for t in left)}"


@pytest.fixture
async def _no_task_survives() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    await asyncio.sleep(0)  # what has just ended may have a last step to take
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not left, f"tasks survive the test: {left}"


def _is_async(request: pytest.FixtureRequest) -> bool:
    function = getattr(request.node, "obj", None)
    handle = getattr(function, "hypothesis", None)
    return inspect.iscoroutinefunction(handle.inner_test if handle is not None else function)


def _threads() -> set[threading.Thread]:
    return {t for t in threading.enumerate() if t.name.startswith("spsd-") and t.is_alive()}
