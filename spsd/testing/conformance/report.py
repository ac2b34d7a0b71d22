"""The results of a run as text, as JSON and as tables."""

import json
from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from spsd.testing.conformance.fact import Fact, Section
from spsd.testing.conformance.run import Result, Verdict, summary

_STYLES = {
    Verdict.HOLDS: "green",
    Verdict.BROKEN: "bold red",
    Verdict.DIFFERS: "yellow",
    Verdict.SKIPPED: "dim",
}


def mark(fact: Fact) -> str:
    """The fact's mark, and the version since which it is known, if not from the first."""
    return fact.mark if fact.since is None else f"{fact.mark}, {fact.since}"


def table(results: Sequence[Result], console: Console) -> None:
    """Print a table for each section."""
    for section in Section:
        rows = [result for result in results if result.fact.section is section]
        if not rows:
            continue
        section_table = Table(title=section.value, title_justify="left", expand=True)
        section_table.add_column("", no_wrap=True)
        section_table.add_column("fact", no_wrap=True)
        section_table.add_column("what it says", ratio=3, overflow="fold")
        section_table.add_column("known", ratio=1, overflow="fold")
        for result in rows:
            style, fact = _STYLES[result.verdict], result.fact
            text = escape(fact.sentence)
            if result.evidence:
                text += f"\n[{style}]{escape(result.evidence)}[/]"
            section_table.add_row(f"[{style}]{result.verdict}[/]", fact.id, text, mark(fact))
        console.print(section_table)


def lines(results: Sequence[Result]) -> str:
    """Return a line for each fact, followed by a line for its evidence, if there is any."""
    output = []
    for result in results:
        fact = result.fact
        output.append(f"{result.verdict:<8} {fact.id:<28} [{mark(fact)}] {fact.sentence}")
        if result.evidence:
            output.append(f"{'':<8} {result.evidence}")
    return "\n".join(output)


def as_json(url: str, results: Sequence[Result], left_behind: Sequence[str]) -> str:
    """Return all results as one JSON document; its members may be added to, never renamed."""
    count = Counter(result.verdict for result in results)
    return json.dumps(
        {
            "url": url,
            "summary": summary(results),
            "counts": {verdict.value: count[verdict] for verdict in Verdict},
            "left_behind": list(left_behind),
            "facts": [
                described(result.fact)
                | {"verdict": result.verdict.value, "evidence": result.evidence}
                for result in results
            ],
        },
        indent=2,
        ensure_ascii=False,
    )


def described(fact: Fact) -> dict[str, str | None]:
    """Return the fact without its check, for JSON."""
    return {
        "id": fact.id,
        "section": fact.section.value,
        "sentence": fact.sentence,
        "mark": fact.mark.value,
        "since": fact.since,
        "needs": fact.need.value,
    }


def markdown(facts: Sequence[Fact]) -> str:
    """Return all facts as Markdown, with a heading and a table for each section."""
    parts = []
    for section in Section:
        rows = ["| Fact | What it says | Known | Tried with |", "|---|---|---|---|"]
        rows += [
            f"| `{fact.id}` | {fact.sentence} | {mark(fact)} | {fact.need} |"
            for fact in facts
            if fact.section is section
        ]
        parts.append(f"### {section}\n\n" + "\n".join(rows))
    return "\n\n".join(parts)
