"""What was tried, counted by the tests themselves: the figures of docs/verified.md."""

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
        """Count some more."""
        self._counts[what] += count

    def pytest_sessionfinish(self) -> None:
        """A worker of xdist tells its counts to the controller, who prints."""
        if (output := getattr(self._config, "workeroutput", None)) is not None:
            output[_TRIED] = dict(self._counts)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take over what a worker has counted."""
        self._counts.update(getattr(node, "workeroutput", {}).get(_TRIED, {}))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print a line for each."""
        if self._counts:
            terminalreporter.section("tried")
        for what, count in sorted(self._counts.items()):
            terminalreporter.line(f"tried: {count:,} {what}")
