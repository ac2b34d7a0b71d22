"""Counts of what the tests have tried: the figures of the page that scripts/prove renews."""

from collections import Counter
from typing import Any

import pytest

_TRIED = "tried"


class Tally:
    """Adds up the counts of one run, those of all its workers."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._counts: Counter[str] = Counter()

    def add(self, what: str, count: int = 1) -> None:
        """Add ``count`` to the count named ``what``."""
        self._counts[what] += count

    def pytest_sessionfinish(self) -> None:
        """A worker of xdist sends its counts to the controller, which prints them."""
        if (output := getattr(self._config, "workeroutput", None)) is not None:
            output[_TRIED] = dict(self._counts)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Add the counts of a worker."""
        self._counts.update(getattr(node, "workeroutput", {}).get(_TRIED, {}))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print a line for each count, such as ``tried: 40 kills of a fetch``."""
        if self._counts:
            terminalreporter.section("tried")
        for what, count in sorted(self._counts.items()):
            terminalreporter.line(f"tried: {count:,} {what}")
