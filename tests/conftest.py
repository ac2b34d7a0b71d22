"""Fixtures that check every test; pytest options that select tests, and the counts of a run."""

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Iterator

import hypothesis
import pytest
from blockbuster import BlockBuster

from testbed import daemons
from tests import selection
from tests.tally import Tally

pytest_plugins = ["testbed.needs"]

_TALLY = pytest.StashKey[Tally]()

# No deadline: load must not fail an example. A failing example is printed as a blob that reproduces
# it; it is also stored in .hypothesis, and tried first in the next run.
hypothesis.settings.register_profile(
    "spsd",
    deadline=None,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("spsd")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pictures", action="store_true", help="renew the pictures in docs/pictures")
    selection.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_TALLY] = Tally(config)
    config.pluginmanager.register(config.stash[_TALLY])
    config.pluginmanager.register(selection.Selection(config))


def pytest_unconfigure() -> None:
    daemons.remove_shared_files()


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Callable[[str, int], None]:
    """Add to a count that the run prints at its end, such as `tally("kills of a fetch", 40)`."""
    return request.config.stash[_TALLY].add


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
    """A test fails if a thread of spsd or a task survives it."""
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
    for _ in range(5):
        await asyncio.sleep(0)  # cancelled tasks may need some steps of the loop to end
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not left, f"tasks survive the test: {left}"


def _is_async(request: pytest.FixtureRequest) -> bool:
    function = getattr(request.node, "obj", None)
    handle = getattr(function, "hypothesis", None)
    return inspect.iscoroutinefunction(handle.inner_test if handle is not None else function)


def _threads() -> set[threading.Thread]:
    return {t for t in threading.enumerate() if t.name.startswith("spsd-") and t.is_alive()}
