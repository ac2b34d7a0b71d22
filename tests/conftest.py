"""Alarms that watch every test."""

import asyncio
import inspect
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from blockbuster import BlockBuster

pytest_plugins = ["tests.needs"]

_TRIED = pytest.StashKey[Counter[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pictures", action="store_true", help="renew the pictures in docs/pictures")
    parser.addoption("--whole", action="store_true", help="what takes minutes too, and no samples")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--whole"):
        return
    for item in items:
        if item.get_closest_marker("whole"):
            item.add_marker(pytest.mark.skip(reason="takes minutes: --whole"))


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Callable[[str, int], None]:
    """Add to a count that the run prints at its end, such as `tally("kills of a fetch", 40)`."""
    counts = request.config.stash.setdefault(_TRIED, Counter())

    def add(what: str, count: int = 1) -> None:
        counts[what] += count

    return add


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print what was tried: the figures of docs/proven.md come from these lines."""
    counts = config.stash.get(_TRIED, Counter())
    if counts:
        terminalreporter.section("tried")
    for what, count in sorted(counts.items()):
        terminalreporter.line(f"tried: {count:,} {what}")


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
