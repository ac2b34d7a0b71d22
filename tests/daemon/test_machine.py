"""The state machine of Hypothesis against the daemon: random actions, and the promises hold.

`--all` makes five runs and `--long` fifteen, the same each time.
SPSD_MACHINE_EXAMPLES=500 makes 500 random runs.
"""

import os
from collections import Counter
from collections.abc import Callable
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from spsd.testing.machine import FirmwareMachine

MORE = os.environ.get("SPSD_MACHINE_EXAMPLES")
RUNS, LONG = 5, 15


@pytest.mark.timeout(24 * 3600 if MORE else 1800)
def test_the_promises_hold_for_random_actions(
    tally: Callable[[str, int], None], request: pytest.FixtureRequest
) -> None:
    runs = LONG if request.config.getoption("--long") else RUNS

    class Machine(FirmwareMachine):
        counts: ClassVar[Counter[str]] = Counter()

    try:
        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=int(MORE or runs),
                stateful_step_count=30,
                derandomize=MORE is None,
                database=None,
                deadline=None,
                # The timing of a daemon differs between runs, so shrinking finds little.
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        for what, count in Machine.counts.items():
            tally(f"{what} (machine)", count)
