"""scripts/test runs the selected tests, reports what it left out, and adds up all counts."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scripts.programs.test.rings import RINGS, SMOKE, covers, ring_of
from scripts.programs.test.run import main, planned, worst
from tests.selection import Selection
from tests.tally import Tally

ROOT = Path(__file__).resolve().parents[2]
PAIR = ["-n", "2", "--dist", "worksteal"]
ONE = ["-n", "0"]
FILES = [
    "tests/daemon/test_hostile_clients.py",
    "tests/daemon/test_loop.py",
    "tests/programs/test_bench.py",
    "tests/scanners/",
]


@pytest.mark.parametrize(
    ("arguments", "calls"),
    [
        ([], [PAIR]),
        (["-k", "port", "-x"], [[*PAIR, "-k", "port", "-x"]]),
        (["-n", "0"], [["-n", "0"]]),
        (
            ["-n3", "--all"],
            [["--all", "--share=together", "-n3"], ["--all", "--share=alone", "-n3", *FILES]],
        ),
        (["tests/web"], [[*PAIR, "tests/web"]]),
        (["tests/test_cli.py"], [[*ONE, "tests/test_cli.py"]]),
        (["tests/test_cli.py::test_version"], [[*ONE, "tests/test_cli.py::test_version"]]),
        (["--pdb"], [[*ONE, "--pdb"]]),
        (
            ["--all"],
            [[*PAIR, "--all", "--share=together"], [*ONE, "--all", "--share=alone", *FILES]],
        ),
        (
            ["--all", "tests/web"],
            [
                [*PAIR, "--all", "--share=together", "tests/web"],
                [*ONE, "--all", "--share=alone", "tests/web"],
            ],
        ),
        (
            ["--all", "--junitxml=reports/all.xml"],
            [
                [*PAIR, "--all", "--share=together", "--junitxml=reports/all.xml"],
                [*ONE, "--all", "--share=alone", "--junitxml=reports/all-alone.xml", *FILES],
            ],
        ),
        (["--ring", "browser"], [[*PAIR, "--ring=browser"]]),
        (["--ring", "bench"], [[*ONE, "--ring=bench"]]),
        (
            ["--ring", "bench", "--ring=proxy"],
            [
                [*PAIR, "--ring=bench", "--ring=proxy", "--share=together"],
                [*ONE, "--ring=bench", "--ring=proxy", "--share=alone", *FILES],
            ],
        ),
    ],
)
def test_the_calls_of_pytest(arguments: Sequence[str], calls: Sequence[Sequence[str]]) -> None:
    assert planned(arguments, cores=2) == calls


@pytest.mark.parametrize(("cores", "processes"), [(1, "0"), (2, "2"), (3, "3"), (64, "4")])
def test_as_many_processes_as_cores_up_to_a_bound(cores: int, processes: str) -> None:
    assert (planned([], cores=cores) or [])[0][:2] == ["-n", processes]


@pytest.mark.parametrize(
    ("statuses", "status"), [([0], 0), ([0, 5], 0), ([5, 1], 1), ([1, 0], 1), ([5, 5], 5)]
)
def test_a_call_that_finds_nothing_to_do_is_no_failure(statuses: list[int], status: int) -> None:
    assert worst(statuses) == status


def test_the_rings_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--rings"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == [ring.name for ring in RINGS]
    assert "scripts/test" in lines[-1]


def test_the_longest_matching_name_decides() -> None:
    ring = ring_of("tests/daemon/test_soak.py::test_jobs_leave_no_resources_behind")
    assert ring is not None
    assert ring.name == "long"
    assert ring_of("tests/daemon/test_session.py::test_anything[x]") is None
    assert ring_of("tests/jobs/test_job.py::test_anything") is None


def test_a_name_does_not_cover_tests_that_only_begin_with_it() -> None:
    assert covers("tests/a.py::test_b", "tests/a.py::test_b[1]")
    assert not covers("tests/a.py::test_b", "tests/a.py::test_bc")
    assert covers("tests/a/", "tests/a/b.py::test_c")


def test_no_name_stands_twice() -> None:
    names = [name for ring in RINGS for name in ring.tests] + list(SMOKE)
    assert sorted(set(names)) == sorted(names)


def collected(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout


def test_a_named_file_runs_whatever_its_ring() -> None:
    assert SOAK in collected("tests/daemon/test_soak.py")


SOAK = "tests/daemon/test_soak.py::test_jobs_leave_no_resources_behind"
BENCH = "tests/programs/test_bench.py::test_a_command_is_measured_whole"
RULE = "tests/jobs/test_job.py::test_a_rule"
EVERY_NAME = [name for ring in RINGS for name in ring.tests] + list(SMOKE)


def selected(
    *options: Any,
    args: Sequence[str] = ("tests",),
    tests: Sequence[str] = (SOAK, BENCH, RULE),
    every: Sequence[str] = EVERY_NAME,
) -> tuple[list[str], list[str]]:
    """The tests that run of ``tests``, and the lines at the end; `-k` deselects all others."""
    values = dict(zip(options[::2], options[1::2], strict=True))
    config = SimpleNamespace(
        getoption=lambda name: values.get(name, [] if name == "--ring" else None),
        args=list(args),
        invocation_params=SimpleNamespace(dir=ROOT),
        rootpath=ROOT,
        hook=SimpleNamespace(pytest_deselected=lambda items: None),
    )
    selection = Selection(config)
    items = [Item(name) for name in [*every, *tests]]
    choosing = selection.pytest_collection_modifyitems(SimpleNamespace(testsfailed=0), items)
    next(choosing)
    items[:] = [item for item in items if item.nodeid in tests]
    next(choosing, None)
    lines: list[str] = []
    selection.pytest_terminal_summary(SimpleNamespace(line=lines.append))
    return [item.nodeid for item in items], lines


@dataclass(eq=False)
class Item:
    nodeid: str


def test_the_default_tier_and_what_it_leaves_out() -> None:
    left_out = ["left out: 2 tests of 2 rings; scripts/test --all runs them"]
    assert selected() == ([RULE], left_out)
    assert selected(args=[str(ROOT)]) == ([RULE], left_out)
    assert selected(tests=[RULE]) == ([RULE], [])
    [line] = selected(tests=[SOAK, RULE])[1]
    assert line == "left out: 1 test of 1 ring; scripts/test --all runs them"


def test_all_tests_and_one_ring() -> None:
    assert selected("--all", True) == ([SOAK, BENCH, RULE], [])
    assert selected("--ring", ["long"]) == ([SOAK], [])
    assert selected("--ring", ["browser"]) == ([], [])


def test_the_share_that_runs_alone() -> None:
    assert selected("--all", True, "--share", "together")[0] == [SOAK, RULE]
    assert selected("--all", True, "--share", "alone")[0] == [BENCH]
    assert selected("--ring", ["bench", "long"], "--share", "alone")[0] == [BENCH]


@pytest.mark.parametrize("named", [SOAK, "tests/daemon/test_soak.py", "tests/daemon"])
def test_a_named_test_runs_in_every_tier(named: str) -> None:
    assert selected(args=[named], tests=[SOAK]) == ([SOAK], [])
    assert selected("--ring", ["browser"], args=[named], tests=[SOAK]) == ([], [])


def test_a_line_without_a_test_is_an_error() -> None:
    without = [name for name in EVERY_NAME if name != "tests/browser/"]
    with pytest.raises(pytest.UsageError, match=r"there is no test tests/browser/$"):
        selected(every=without)


def test_the_counts_of_all_workers_are_added() -> None:
    workers = [SimpleNamespace(workeroutput={}) for _ in range(2)]
    for number, config in enumerate(workers, 1):
        worker_tally = Tally(config)
        worker_tally.add("kills", number)
        worker_tally.add("stops")
        worker_tally.pytest_sessionfinish()
    total = Tally(SimpleNamespace())
    for node in workers:
        total.pytest_testnodedown(node)
    total.pytest_testnodedown(SimpleNamespace())  # a worker that crashed has no output
    lines: list[str] = []
    total.pytest_terminal_summary(SimpleNamespace(section=lambda _: None, line=lines.append))
    assert lines == ["tried: 3 kills", "tried: 2 stops"]
