"""What became of the mutants, as the tables of docs/mutation.md."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scripts.programs.mutation.mutants import Mutant
from scripts.programs.mutation.trial import Noticed

_RULES = (
    ("The rows of the transition table", "jobs/lifecycle.py::TRANSITIONS"),
    ("What to ask: the rows of the plan", "transfer/rules/request.py::PLAN"),
    ("What a 200 means", "transfer/rules/response.py::_WHOLE_ROWS"),
    ("What a 206 means", "transfer/rules/response.py::PART_ROWS"),
    ("What a 416 means", "transfer/rules/response.py::PAST_THE_END_ROWS"),
    ("What another status means", "transfer/rules/response.py::_STATUS_ROWS"),
    ("What the rows are made of", "transfer/rules/response.py::"),
    ("The first bytes of a body", "transfer/rules/body.py::OPENING"),
    ("The body as it comes", "transfer/rules/body.py::BODY"),
    ("The digest", "transfer/rules/body.py::DIGEST"),
    ("Redirects", "transfer/rules/redirect.py::REDIRECTS"),
    ("Recovery: its steps and their order", "jobs/recovery.py::"),
    ("The guarded UPDATE", "jobs/sqlite.py::_MOVE"),
)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a mutant; ``noticed`` None: it lives."""

    mutant: Mutant
    noticed: Noticed | None

    @property
    def told(self) -> str:
        """In a word, or by the test's name."""
        if self.noticed is None:
            return "lives"
        return "timeout" if self.noticed.timed_out else self.noticed.by or "import"


def by_module(results: Iterable[Result]) -> Sequence[str]:
    """The counts of each module."""
    of: dict[str, Counter[str]] = {}
    for one in results:
        counts = of.setdefault(one.mutant.path, Counter())
        counts["mutants"] += 1
        known = one.told in ("lives", "timeout")
        counts[one.told if known else "test" if "::" in one.told else "import"] += 1
    kinds = ("mutants", "test", "import", "timeout", "lives")
    return [
        "| Module | Mutants | A test fails | The import fails | Time limit | Survive |",
        "|---|---|---|---|---|---|",
        *(
            f"| {path} | {' | '.join(str(counts[kind]) for kind in kinds)} |"
            for path, counts in of.items()
        ),
    ]


def by_rule(results: Sequence[Result]) -> Sequence[str]:
    """The rules that matter most, and which tests notice a change of them."""
    lines = ["| Rule | Mutants | Survive | Noticed by |", "|---|---|---|---|"]
    for rule, scope in _RULES:
        each = [one for one in results if f"spsd/{scope}" in one.mutant.key]
        living = sum(one.noticed is None for one in each)
        tests = Counter(_function(one.told) for one in each if one.noticed is not None)
        shown = ", ".join(f"{name} {count}" for name, count in tests.most_common(4))
        lines.append(f"| {rule} | {len(each)} | {living} | {shown} |")
    return lines


def _function(told: str) -> str:
    name = told.rpartition("::")[2].partition("[")[0]
    return f"`{name}`" if "::" in told else f"the {name}"


def summary(results: Sequence[Result], riddles: int) -> str:
    """The last line of a run."""
    count = len(results)
    living = sum(one.noticed is None for one in results)
    percent = f"{100 * (count - living) / max(1, count):.1f} %"
    explained = "all explained" if not riddles else f"{riddles} of them not explained"
    return (
        f"mutation: {count - living:,} of {count:,} mutants noticed ({percent}), "
        f"{living} survive, {explained} in docs/mutation.md"
    )
