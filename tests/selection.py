"""Selects the collected tests that run: by tier, by ring, or because they were named."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from scripts.programs.test.rings import RINGS, Ring, ring_of, unused_names

_LEFT_OUT = "left out"


def add_options(parser: pytest.Parser) -> None:
    group = parser.getgroup("rings", "which tests run (scripts/test --rings lists the rings)")
    group.addoption("--all", action="store_true", help="the default tier and every ring")
    group.addoption(
        "--ring",
        action="append",
        default=[],
        choices=[ring.name for ring in RINGS],
        help="only this ring; may be repeated",
    )
    group.addoption(
        "--share",
        choices=["together", "alone"],
        help="of the selected tests only those that run in parallel, or those that must run alone",
    )
    group.addoption(
        "--long", action="store_true", help="the counts of docs/verified.md and no samples"
    )


class Selection:
    """Deselects tests, and reports at the end the number of tests and rings that were left out."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._all: bool = config.getoption("--all")
        self._rings: list[str] = config.getoption("--ring")
        self._share: str | None = config.getoption("--share")
        self._left_out: Counter[str] = Counter()

    @pytest.hookimpl(wrapper=True)
    def pytest_collection_modifyitems(
        self, session: pytest.Session, items: list[pytest.Item]
    ) -> Iterator[None]:
        """Deselect tests that are not in the tier, after ``-k`` and ``-m`` have deselected theirs.

        Raises:
            UsageError: a line of the tables names no test; checked if all tests were collected.
        """
        all_are_known = self._whole_tree() and not session.testsfailed
        if all_are_known and (unknown := unused_names(item.nodeid for item in items)):
            raise pytest.UsageError(
                f"scripts/programs/test/rings.py: there is no test {', '.join(unknown)}"
            )
        yield
        rings = {item: ring_of(item.nodeid) for item in items}
        deselected = [item for item in items if not self._runs(rings[item])]
        self._left_out.update(
            ring.name
            for item in deselected
            if (ring := rings[item]) and not self._is_in_the_tier(ring)
        )
        items[:] = [item for item in items if self._runs(rings[item])]
        self._config.hook.pytest_deselected(items=deselected)

    def pytest_sessionfinish(self) -> None:
        """A worker of xdist sends its counts to the controller, which collects no tests."""
        if (output := getattr(self._config, "workeroutput", None)) is not None:
            output[_LEFT_OUT] = dict(self._left_out)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take the counts of a worker; each of them has collected all tests."""
        self._left_out = Counter(getattr(node, "workeroutput", {}).get(_LEFT_OUT, {}))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print a line if tests were left out, so that a part is not mistaken for the whole."""
        if self._left_out and not self._rings:
            count, rings = self._left_out.total(), len(self._left_out)
            terminalreporter.line(
                f"left out: {count:,} {_counted('test', count)} of "
                f"{rings} {_counted('ring', rings)}; "
                "scripts/test --all runs them"
            )

    def _runs(self, ring: Ring | None) -> bool:
        return self._is_in_the_tier(ring) and self._is_in_the_share(ring)

    def _is_in_the_tier(self, ring: Ring | None) -> bool:
        if self._rings:
            return ring is not None and ring.name in self._rings
        # A folder, a file or a test that is named on the command line runs in any case.
        return self._all or ring is None or not self._whole_tree()

    def _is_in_the_share(self, ring: Ring | None) -> bool:
        alone = ring is not None and ring.alone
        return self._share is None or alone == (self._share == "alone")

    def _whole_tree(self) -> bool:
        """Whether the arguments name no part of the tests, but all of them."""
        directory, root = self._config.invocation_params.dir, self._config.rootpath
        named = {(directory / argument).resolve() for argument in self._config.args}
        return named <= {root, root / "tests"}


def _counted(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"
