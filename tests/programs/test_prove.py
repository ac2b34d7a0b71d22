"""scripts/prove and the page that it renews: rows, counts, and commands that fail."""

import sys
from pathlib import Path

import pytest

from scripts.programs.docs.run import ROOT
from scripts.programs.prove import run as prove_run
from scripts.programs.prove.checks import CHECKS, Check

PAGE = (ROOT / "docs" / "verified.md").read_text(encoding="utf-8")


def test_the_page_has_every_row_and_no_other() -> None:
    counts = {check.description: count for check, count in prove_run.known_counts(PAGE)}
    assert prove_run.table(counts) in PAGE


def test_every_row_has_a_count() -> None:
    counted = {check.description for check, count in prove_run.known_counts(PAGE) if count}
    assert [check.description for check in CHECKS if check.description not in counted] == []


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.prints)
def test_the_files_in_a_command_exist(check: Check) -> None:
    words = [word for word in check.command.split() if "/" in word and "=" not in word]
    assert [word for word in words if not (ROOT / word).exists()] == []


def test_counts_are_taken_from_the_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "verified.md"
    page.write_text("before\n<!-- proofs -->\n<!-- /proofs -->\nafter\n")
    command = f"{sys.executable} -c \"print('tried: 1,234 kills of a fetch')\""
    rows = (
        Check("a", "It is killed", command, "kills of a fetch"),
        Check("b", "Nothing is printed", command, "never"),
    )
    monkeypatch.setattr(prove_run, "DOCUMENT", page)
    monkeypatch.setattr(prove_run, "CHECKS", rows)
    assert prove_run.main(["--write"]) == 0
    assert "| a | It is killed | 1,234 kills of a fetch | `" in page.read_text()
    assert "| b | Nothing is printed |  | `" in page.read_text()
    assert "prove: b: no count" in capsys.readouterr().out
    # A row whose command did not run keeps its count.
    assert prove_run.main(["--write", "--only", "no such word"]) == 0
    assert "| a | It is killed | 1,234 kills of a fetch | `" in page.read_text()


def test_a_count_is_a_line_without_its_prefix() -> None:
    check = Check("a", "It is changed", "true", "were noticed")
    line = "2 of 2 mutants were noticed"
    assert prove_run.printed_count(check, [line]) == line
    assert prove_run.printed_count(check, ["mutants: 2 were noticed"]) == "2 were noticed"


def test_a_command_that_fails_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prove_run, "CHECKS", (Check("a", "It fails", "exit 3", "x"),))
    assert prove_run.main([]) == 1
    assert "prove: failed: exit 3" in capsys.readouterr().out
