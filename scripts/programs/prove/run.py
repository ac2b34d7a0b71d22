"""Runs the commands of docs/verified.md and collects the counts that they print."""

import argparse
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence

from scripts.programs.docs.run import ROOT, renewed
from scripts.programs.prove.checks import CHECKS, Check

DOCUMENT = ROOT / "docs" / "verified.md"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/prove", description=__doc__)
    parser.add_argument(
        "--only", default="", metavar="WORD", help="only the rows whose command contains WORD"
    )
    parser.add_argument("--list", action="store_true", help="print the commands, run nothing")
    parser.add_argument(
        "--write", action="store_true", help="put the counts into docs/verified.md as well"
    )
    options = parser.parse_args(arguments)
    chosen = [check for check in CHECKS if options.only in check.command]
    commands = list(dict.fromkeys(check.command for check in chosen))
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
        for check in (check for check in chosen if check.command == command):
            count = printed_count(check, printed[command])
            print(f"prove: {check.promise}: {count or 'no count'}")
    if options.write:
        text = DOCUMENT.read_text(encoding="utf-8")
        counts = {check.description: count for check, count in known_counts(text)}
        for check in chosen:
            if count := printed_count(check, printed[check.command]):
                counts[check.description] = count
        DOCUMENT.write_text(renewed(text, "proofs", table(counts)), encoding="utf-8")
    for command in failed:
        print(f"prove: failed: {command}")
    return 1 if failed else 0


def printed_count(check: Check, lines: Iterable[str]) -> str:
    """The count of a row in the output of its command; empty if there is none.

    It is the last line that contains ``check.prints``, without a prefix such as ``tried: ``.
    """
    matching = [line for line in lines if check.prints in line]
    if not matching:
        return ""
    prefix, has_prefix, count = matching[-1].partition(": ")
    return (count if has_prefix else prefix).strip()


def table(counts: Mapping[str, str]) -> str:
    """The Markdown table, with the count of each row that has one."""
    rows = [
        "| Promise | How it is tried | What the command prints | Command |",
        "|---|---|---|---|",
    ]
    for check in CHECKS:
        count = counts.get(check.description, "")
        rows.append(f"| {check.promise} | {check.description} | {count} | `{check.command}` |")
    return "\n".join(rows)


def known_counts(text: str) -> list[tuple[Check, str]]:
    """The checks that have a row in the text of the page, with the counts in these rows."""
    cells = [[cell.strip() for cell in line.split(" | ")] for line in text.splitlines()]
    counts = {row[1]: row[2] for row in cells if len(row) == 4}
    return [(check, counts[check.description]) for check in CHECKS if check.description in counts]


if __name__ == "__main__":
    sys.exit(main())
