"""docs/verified.md, which scripts/prove renews: rows, counts, and what happens when one fails."""

import sys
from pathlib import Path

import pytest

from scripts.programs.docs.run import ROOT
from scripts.programs.prove import run as prove_run
from scripts.programs.prove.proofs import PROOFS, Proof

PAGE = (ROOT / "docs" / "verified.md").read_text(encoding="utf-8")


def test_the_page_has_every_row_and_no_other() -> None:
    told = {proof.tells: count for proof, count in prove_run.known_counts(PAGE)}
    assert prove_run.table(told) in PAGE


def test_every_row_has_a_count() -> None:
    told = {proof.tells for proof, count in prove_run.known_counts(PAGE) if count}
    assert [proof.tells for proof in PROOFS if proof.tells not in told] == []


@pytest.mark.parametrize("proof", PROOFS, ids=lambda proof: proof.prints)
def test_a_command_names_files_that_are_there(proof: Proof) -> None:
    words = [word for word in proof.command.split() if "/" in word and "=" not in word]
    assert [word for word in words if not (ROOT / word).exists()] == []


def test_counts_are_taken_from_what_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "verified.md"
    page.write_text("before\n<!-- proofs -->\n<!-- /proofs -->\nafter\n")
    say = f"{sys.executable} -c \"print('tried: 1,234 kills of a fetch')\""
    rows = (
        Proof("a", "It is killed", say, "kills of a fetch"),
        Proof("b", "Nothing is printed", say, "never"),
    )
    monkeypatch.setattr(prove_run, "DOCUMENT", page)
    monkeypatch.setattr(prove_run, "PROOFS", rows)
    assert prove_run.main(["--write"]) == 0
    assert "| a | It is killed | 1,234 kills of a fetch | `" in page.read_text()
    assert "| b | Nothing is printed |  | `" in page.read_text()
    assert "prove: b: no count" in capsys.readouterr().out
    # A row that did not run keeps what it had.
    assert prove_run.main(["--write", "--only", "no such word"]) == 0
    assert "| a | It is killed | 1,234 kills of a fetch | `" in page.read_text()


def test_a_line_needs_no_mark() -> None:
    proof = Proof("a", "It is changed", "true", "were noticed")
    assert (
        prove_run.counted(proof, ["2 of 2 mutants were noticed"]) == "2 of 2 mutants were noticed"
    )
    assert prove_run.counted(proof, ["mutants: 2 were noticed"]) == "2 were noticed"


def test_a_command_that_fails_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prove_run, "PROOFS", (Proof("a", "It fails", "exit 3", "x"),))
    assert prove_run.main([]) == 1
    assert "prove: failed: exit 3" in capsys.readouterr().out
