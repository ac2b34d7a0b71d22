"""The parts of the documents that are printed from the code, between markers in the text."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from scripts.programs.mutation import explained as mutation_explained
from spsd import metrics as exposition
from spsd.client import errors as exits
from spsd.config import reference
from spsd.failures import EXPLANATIONS
from spsd.jobs.lifecycle import diagram
from spsd.storage.faults import ADVICE, MEANING, DatabaseFault
from spsd.testing.conformance.facts import FACTS
from spsd.testing.conformance.report import markdown
from spsd.transfer.rules.body import BODY, DIGEST, OPENING
from spsd.transfer.rules.redirect import REDIRECTS
from spsd.transfer.rules.request import PLAN
from spsd.transfer.rules.response import HEAD
from spsd.web.middleware.problems import error_table

ROOT = Path(__file__).resolve().parents[3]


def failures() -> str:
    """Every failure code as a row of a Markdown table."""
    rows = ["| Code | What it means | What to do | Bytes so far |", "|---|---|---|---|"]
    for code, told in EXPLANATIONS.items():
        kept = "kept" if told.keeps_partial else "removed"
        rows.append(f"| `{code}` | {told.meaning} | {told.advice} | {kept} |")
    return "\n".join(rows)


def database_codes() -> str:
    """Every code of the database as a row of a Markdown table."""
    rows = ["| Code | What it means | What to do |", "|---|---|---|"]
    rows += [f"| `{code}` | {MEANING[code]} | {ADVICE[code]} |" for code in DatabaseFault]
    return "\n".join(rows)


def state_diagram() -> str:
    """The lifecycle as a block that Mermaid draws."""
    return f"```mermaid\n{diagram()}\n```"


def facts() -> str:
    """Every fact that `spsd-conformance` tries, and how many there are."""
    binding = sum(fact.mark.binds for fact in FACTS)
    return f"{len(FACTS)} facts; {binding} of them bind.\n\n{markdown(FACTS)}"


PARTS: tuple[tuple[str, str, Callable[[], str]], ...] = (
    ("README.md", "diagram", state_diagram),
    ("docs/conformance.md", "facts", facts),
    ("docs/errors.md", "errors", error_table),
    ("docs/failures.md", "failures", failures),
    ("docs/operating.md", "database", database_codes),
    ("docs/monitoring.md", "metrics", exposition.reference),
    ("docs/mutation.md", "survivors", mutation_explained.markdown),
    ("docs/resume.md", "plan", PLAN.markdown),
    ("docs/resume.md", "redirects", REDIRECTS.markdown),
    ("docs/resume.md", "head", HEAD.markdown),
    ("docs/resume.md", "opening", OPENING.markdown),
    ("docs/resume.md", "body", BODY.markdown),
    ("docs/resume.md", "digest", DIGEST.markdown),
    ("docs/settings.md", "settings", reference),
    ("docs/spsctl.md", "exits", exits.table),
)


def renewed(text: str, name: str, part: str) -> str:
    """``text`` with ``part`` between its markers called ``name``.

    Raises:
        ValueError: the markers are missing.
    """
    opening, closing = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found, rest = text.partition(opening)
    _, ended, after = rest.partition(closing)
    if not found or not ended:
        raise ValueError(f"there is no {opening} … {closing}")
    return f"{before}{opening}\n\n{part.strip()}\n\n{closing}{after}"


def stale(root: Path = ROOT) -> list[tuple[Path, str]]:
    """The documents that are not as the code prints them, with the text they should have."""
    fresh: dict[Path, str] = {}
    for name, marker, part in PARTS:
        path = root / name
        text = fresh.get(path) or path.read_text(encoding="utf-8")
        fresh[path] = renewed(text, marker, part())
    return [
        (path, wanted)
        for path, wanted in fresh.items()
        if path.read_text(encoding="utf-8") != wanted
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/docs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if one is stale")
    options = parser.parse_args(arguments)
    found = stale()
    for path, wanted in found:
        name = path.relative_to(ROOT)
        if options.check:
            print(f"docs: {name} is stale; run scripts/docs")
        else:
            path.write_text(wanted, encoding="utf-8")
            print(f"docs: {name} is written anew")
    return 1 if options.check and found else 0


if __name__ == "__main__":
    sys.exit(main())
