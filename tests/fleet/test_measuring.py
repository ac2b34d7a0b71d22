"""scripts/fleet: a tiny instance of it."""

import subprocess

import pytest

from scripts.programs.fleet.run import Run, table
from testbed import needs
from testbed.fleet_site import ROOT


@needs.program("nginx")
@pytest.mark.timeout(120)
def test_a_small_fleet() -> None:
    done = subprocess.run(
        [
            *(ROOT / "scripts" / "fleet", "--appliances", "1", "3", "--rounds", "1"),
            *("--image-mib", "8", "--line-mib", "64"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split("|")[1:4] for line in done.stdout.splitlines() if line.startswith("| ")][1:]
    table_sent = {(int(number), cached.strip()): float(sent) for number, cached, sent in rows[1:]}
    assert table_sent.keys() == {(n, cached) for n in (1, 3) for cached in ("with", "without")}
    for (number, cached), sent in table_sent.items():
        assert sent == pytest.approx(1 if cached == "with" else number, rel=0.1)


def test_times_are_ratios_to_one_without_a_cache() -> None:
    runs = [
        Run(appliances, cached, sent=1.0, seconds=seconds)
        for appliances, cached, seconds in (
            *((1, False, 2.0), (1, False, 9.0), (1, False, 2.0)),
            *((1, True, 3.0), (1, True, 3.0), (1, True, 3.0)),
            *((5, False, 10.0), (5, True, 4.0)),
        )
    ]
    assert [row[3] for row in table(runs).rows] == ["1.00", "1.50", "5.00", "2.00"]
    assert [row[:2] for row in table(runs).rows][:2] == [("1", "without"), ("1", "with")]
