"""Writes the parts of the documents that are generated from the code, between markers."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from scripts.programs.mutation import survivors as mutation_survivors
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
    for code, explanation in EXPLANATIONS.items():
        partial = "kept" if explanation.keeps_partial else "removed"
        rows.append(f"| `{code}` | {explanation.meaning} | {explanation.advice} | {partial} |")
    return "\n".join(rows)


def database_codes() -> str:
    """Every code of a database fault as a row of a Markdown table."""
    rows = ["| Code | What it means | What to do |", "|---|---|---|"]
    rows += [f"| `{code}` | {MEANING[code]} | {ADVICE[code]} |" for code in DatabaseFault]
    return "\n".join(rows)


def state_diagram() -> str:
    """The lifecycle as a block that Mermaid draws."""
    return f"```mermaid\n{diagram()}\n```"


def facts() -> str:
    """The number of facts that `spsd-conformance` tries, and their table."""
    binding = sum(fact.mark.binds for fact in FACTS)
    return f"{len(FACTS)} facts; {binding} of them bind.\n\n{markdown(FACTS)}"


PARTS: tuple[tuple[str, str, Callable[[], str]], ...] = (
    ("README.md", "diagram", state_diagram),
    ("docs/conformance.md", "facts", facts),
    ("docs/errors.md", "errors", error_table),
    ("docs/failures.md", "failures", failures),
    ("docs/operating.md", "database", database_codes),
    ("docs/monitoring.md", "metrics", exposition.reference),
    ("docs/mutation.md", "survivors", mutation_survivors.markdown),
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
    """``text`` with ``part`` between the markers ``<!-- name -->`` and ``<!-- /name -->``.

    Raises:
        ValueError: a marker is missing.
    """
    opening, closing = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, opened, rest = text.partition(opening)
    _, closed, after = rest.partition(closing)
    if not opened or not closed:
        raise ValueError(f"there is no {opening} … {closing}")
    return f"{before}{opening}\n\n{part.strip()}\n\n{closing}{after}"


def stale(root: Path = ROOT) -> list[tuple[Path, str]]:
    """The documents that differ from what the code generates, each with its correct text."""
    fresh: dict[Path, str] = {}
    for name, marker, part in PARTS:
        path = root / name
        text = fresh.get(path) or path.read_text(encoding="utf-8")
        fresh[path] = renewed(text, marker, part())
    return [
        (path, text) for path, text in fresh.items() if path.read_text(encoding="utf-8") != text
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/docs", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit status 1 if a document is stale"
    )
    options = parser.parse_args(arguments)
    documents = stale()
    for path, text in documents:
        name = path.relative_to(ROOT)
        if options.check:
            print(f"docs: {name} is stale; run scripts/docs")
        else:
            path.write_text(text, encoding="utf-8")
            print(f"docs: {name} is updated")
    return 1 if options.check and documents else 0


if __name__ == "__main__":
    sys.exit(main())
