"""The outcome of a run, for people and for programs."""

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
    """How well the fact is known, and since when."""
    return fact.mark if fact.since is None else f"{fact.mark}, {fact.since}"


def table(results: Sequence[Result], console: Console) -> None:
    """A table for each section."""
    for section in Section:
        rows = [one for one in results if one.fact.section is section]
        if not rows:
            continue
        drawn = Table(title=section.value, title_justify="left", expand=True)
        drawn.add_column("", no_wrap=True)
        drawn.add_column("fact", no_wrap=True)
        drawn.add_column("what it says", ratio=3, overflow="fold")
        drawn.add_column("known", ratio=1, overflow="fold")
        for one in rows:
            style = _STYLES[one.verdict]
            said = escape(one.fact.sentence)
            if one.evidence:
                said += f"\n[{style}]{escape(one.evidence)}[/]"
            drawn.add_row(f"[{style}]{one.verdict}[/]", one.fact.id, said, mark(one.fact))
        console.print(drawn)


def lines(results: Sequence[Result]) -> str:
    """A line for each fact, and one more for evidence."""
    found = []
    for one in results:
        fact = one.fact
        found.append(f"{one.verdict:<8} {fact.id:<28} [{mark(fact)}] {fact.sentence}")
        if one.evidence:
            found.append(f"{'':<8} {one.evidence}")
    return "\n".join(found)


def as_json(url: str, results: Sequence[Result], left_behind: Sequence[str]) -> str:
    """The whole outcome as one JSON document; members are added, never renamed."""
    count = Counter(one.verdict for one in results)
    return json.dumps(
        {
            "url": url,
            "summary": summary(results),
            "counts": {verdict.value: count[verdict] for verdict in Verdict},
            "left_behind": list(left_behind),
            "facts": [
                described(one.fact) | {"verdict": one.verdict.value, "evidence": one.evidence}
                for one in results
            ],
        },
        indent=2,
        ensure_ascii=False,
    )


def described(fact: Fact) -> dict[str, str | None]:
    """The fact without its check."""
    return {
        "id": fact.id,
        "section": fact.section.value,
        "sentence": fact.sentence,
        "mark": fact.mark.value,
        "since": fact.since,
        "needs": fact.need.value,
    }


def markdown(facts: Sequence[Fact]) -> str:
    """All facts as tables for a document."""
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
