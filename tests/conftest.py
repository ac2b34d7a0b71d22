"""Alarms that watch every test; which tests run, and what they count."""

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Iterator

import hypothesis
import pytest
from blockbuster import BlockBuster

from testbed import daemons
from tests import selecting
from tests.tallying import Tally

pytest_plugins = ["testbed.needs"]

_TALLY = pytest.StashKey[Tally]()

# An example that takes longer under load is no other example; what fails is printed so that it
# can be played again. Those that were found are kept in .hypothesis, and are tried first.
hypothesis.settings.register_profile(
    "spsd",
    deadline=None,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("spsd")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pictures", action="store_true", help="renew the pictures in docs/pictures")
    selecting.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_TALLY] = Tally(config)
    config.pluginmanager.register(config.stash[_TALLY])
    config.pluginmanager.register(selecting.Selection(config))


def pytest_unconfigure() -> None:
    daemons.forget()


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
    for _ in range(5):
        await asyncio.sleep(0)  # what has just ended or been cancelled may have steps to take
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not left, f"tasks survive the test: {left}"


def _is_async(request: pytest.FixtureRequest) -> bool:
    function = getattr(request.node, "obj", None)
    handle = getattr(function, "hypothesis", None)
    return inspect.iscoroutinefunction(handle.inner_test if handle is not None else function)


def _threads() -> set[threading.Thread]:
    return {t for t in threading.enumerate() if t.name.startswith("spsd-") and t.is_alive()}
