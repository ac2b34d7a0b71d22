"""scripts/league: spsd with every act of the hostile origin, and the form of the table."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from scripts.programs.league import spsd as league_spsd
from scripts.programs.league.cases import CASES, HALF, SIZE, Case
from scripts.programs.league.peers import PEERS, find_peer
from scripts.programs.league.run import play, report
from scripts.programs.league.table import Outcome, Result, Run, result_of, table
from spsd.testing.origin import ACTS
from testbed import needs

ROOT = Path(__file__).resolve().parents[2]
IN_BUFFERS = 1024 * 1024
"""Bytes in transit when a client closes the connection; they count as sent."""

# Acts with which spsd could get the right bytes and does not.
NOT_RIGHT = {
    "gzip": "a content coding is refused, where it could be taken off",
}


def test_every_act_has_its_case() -> None:
    played = {type(act) for case in CASES for act in (*case.script, case.always)}
    assert set(ACTS) - played == set()
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.timeout(120)
async def test_spsd_is_right_wherever_that_is_possible(tmp_path: Path) -> None:
    results = await league_spsd.results(CASES, tmp_path / "spsd")
    details = {name: f"{result.outcome}: {result.message}" for name, result in results.items()}
    by_outcome = {
        outcome: {name for name, result in results.items() if result.outcome is outcome}
        for outcome in Outcome
    }
    assert by_outcome[Outcome.CORRUPT] == set(), details
    assert by_outcome[Outcome.HANGS] == set(), details
    possible = {case.name for case in CASES if case.possible}
    assert possible - by_outcome[Outcome.RIGHT] <= set(NOT_RIGHT), details
    impossible = {case.name for case in CASES if not case.possible}
    assert by_outcome[Outcome.ERROR] >= impossible, details
    wasteful = {
        case.name: results[case.name].wasted
        for case in CASES
        if results[case.name].outcome is Outcome.RIGHT
        and results[case.name].wasted > case.least + IN_BUFFERS
    }
    assert wasteful == {}


@pytest.mark.parametrize(
    ("runs", "kept", "sent", "expected"),
    [
        ([Run(0, True)], 0, SIZE, Result(Outcome.RIGHT)),
        ([Run(0, True)], HALF, SIZE, Result(Outcome.RIGHT, HALF)),
        ([Run(1, False), Run(0, True)], 0, SIZE + 5, Result(Outcome.AGAIN, 5)),
        ([Run(1, True), Run(1, True)], 0, SIZE, Result(Outcome.ERROR)),
        ([Run(0, False)], 0, SIZE, Result(Outcome.CORRUPT)),
        ([Run(1, False), Run(0, False)], 0, SIZE, Result(Outcome.CORRUPT)),
        ([Run(None, True)], 0, SIZE, Result(Outcome.HANGS)),
    ],
)
def test_the_result_of_runs(runs: list[Run], kept: int, sent: int, expected: Result) -> None:
    assert result_of(runs, kept=kept, sent=sent) == expected


def test_the_table_has_a_row_for_each_act_a_column_for_each_tool_and_sums() -> None:
    cases = [Case("a", "does this"), Case("b", "does that")]
    results = {
        "spsd": {"a": Result(Outcome.RIGHT), "b": Result(Outcome.RIGHT, 2 * 1024 * 1024)},
        "curl": {"a": Result(Outcome.AGAIN, 17), "b": Result(Outcome.CORRUPT)},
    }
    assert table(cases, results).splitlines() == [
        "| Act | The origin | spsd | curl |",
        "| --- | --- | --- | --- |",
        "| `a` | does this | right | right after a retry, +17 bytes |",
        "| `b` | does that | right, +2.0 MiB | **silent corruption** |",
        "| **right** | how often | 2 | 0 |",
        "| **right after a retry** | how often | 0 | 1 |",
        "| **clear error** | how often | 0 | 0 |",
        "| **silent corruption** | how often | 0 | 1 |",
        "| **hangs** | how often | 0 | 0 |",
    ]


async def test_the_results_of_a_peer(tmp_path: Path) -> None:
    """curl, with an act where it is right and one where it is wrong."""
    needs.now(needs.program("curl"))
    peers = [peer for peer in map(find_peer, PEERS) if peer is not None and peer.name == "curl"]
    names = {"plain": Outcome.RIGHT, "flipped": Outcome.CORRUPT}
    cases = [case for case in CASES if case.name in names]
    results = await play(cases, peers, tmp_path, with_spsd=False)
    assert {name: result.outcome for name, result in results["curl"].items()} == names
    assert re.match(r"\d{4}-\d\d-\d\d: curl \d+\.", report(cases, results, {"curl": "8.1"}))


def test_the_document_has_the_acts_as_they_are() -> None:
    text = (ROOT / "docs" / "league.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| ([^|]+) \|", text, re.MULTILINE))
    assert rows == {case.name: case.description for case in CASES}, "run scripts/league --write"
    assert re.search(r"^\d{4}-\d\d-\d\d: spsd \d", text, re.MULTILINE)


def test_the_command_prints_a_table_and_cleans_up(tmp_path: Path) -> None:
    done = subprocess.run(
        [ROOT / "scripts" / "league", "--only", "spsd", "--act", "plain", "--act", "resume"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    _, _, head, rule, *rows = done.stdout.splitlines()
    assert (head, rule) == ("| Act | The origin | spsd |", "| --- | --- | --- |")
    assert rows[:2] == [
        "| `plain` | behaves well | right |",
        "| `resume` | behaves well to a resumed download | right |",
    ]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--act", "unheard-of"], "unheard-of"),
        (["--only", "spsd,netcat"], "no tool of the league: netcat"),
        (["--write", "--act", "plain"], "--write is for the whole table"),
    ],
)
def test_wrong_arguments_are_refused(arguments: list[str], message: str) -> None:
    done = subprocess.run(
        [ROOT / "scripts" / "league", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
