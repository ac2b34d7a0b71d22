"""Runs the commands of docs/verified.md and collects the counts that they print."""

import argparse
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence

from scripts.programs.docs.run import ROOT, renewed
from scripts.programs.prove.proofs import PROOFS, Proof

DOCUMENT = ROOT / "docs" / "verified.md"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/prove", description=__doc__)
    parser.add_argument("--only", default="", metavar="WORD", help="rows whose command has it")
    parser.add_argument("--list", action="store_true", help="print the commands, run nothing")
    parser.add_argument(
        "--write", action="store_true", help="put the counts into docs/verified.md as well"
    )
    options = parser.parse_args(arguments)
    chosen = [proof for proof in PROOFS if options.only in proof.command]
    commands = list(dict.fromkeys(proof.command for proof in chosen))
    if options.list:
        print(*commands, sep="\n")
        return 0
    printed, failed = {}, []
    for command in commands:
        print(f"prove: {command}", flush=True)
        run = subprocess.run(
            command, shell=True, cwd=ROOT, text=True, stdout=subprocess.PIPE, check=False
        )
        printed[command] = run.stdout.splitlines()
        if run.returncode:
            failed.append(command)
            print(run.stdout)
        for proof in (one for one in chosen if one.command == command):
            print(f"prove: {proof.promise}: {counted(proof, printed[command]) or 'no count'}")
    if options.write:
        text = DOCUMENT.read_text(encoding="utf-8")
        known = {proof.tells: told for proof, told in known_counts(text)}
        fresh = {one.tells: counted(one, printed[one.command]) for one in chosen}
        told = known | {tells: count for tells, count in fresh.items() if count}
        DOCUMENT.write_text(renewed(text, "proofs", table(told)), encoding="utf-8")
    for command in failed:
        print(f"prove: failed: {command}")
    return 1 if failed else 0


def counted(proof: Proof, lines: Iterable[str]) -> str:
    """What the command printed for this row, without the word that marks the line."""
    found = [line for line in lines if proof.prints in line]
    if not found:
        return ""
    word, marked, count = found[-1].partition(": ")
    return (count if marked else word).strip()


def table(counts: Mapping[str, str]) -> str:
    """The Markdown table, with the count of each row that has one."""
    rows = [
        "| Promise | How it is tried | What the command prints | Command |",
        "|---|---|---|---|",
    ]
    for proof in PROOFS:
        count = counts.get(proof.tells, "")
        rows.append(f"| {proof.promise} | {proof.tells} | {count} | `{proof.command}` |")
    return "\n".join(rows)


def known_counts(text: str) -> list[tuple[Proof, str]]:
    """The counts that the page has now; a row that it does not have yet has none."""
    cells = [[cell.strip() for cell in line.split(" | ")] for line in text.splitlines()]
    by_row = {row[1]: row[2] for row in cells if len(row) == 4}
    return [(proof, by_row[proof.tells]) for proof in PROOFS if proof.tells in by_row]


if __name__ == "__main__":
    sys.exit(main())
