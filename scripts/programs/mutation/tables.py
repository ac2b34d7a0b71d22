"""The results of the mutants, as the tables of docs/mutation.md."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scripts.programs.mutation.mutants import Mutant
from scripts.programs.mutation.trial import Noticed

_RULES = (
    ("The rows of the transition table", "jobs/lifecycle.py::TRANSITIONS"),
    ("What to request: the rows of the plan", "transfer/rules/request.py::PLAN"),
    ("What a 200 means", "transfer/rules/response.py::_WHOLE_ROWS"),
    ("What a 206 means", "transfer/rules/response.py::PART_ROWS"),
    ("What a 416 means", "transfer/rules/response.py::PAST_THE_END_ROWS"),
    ("What another status means", "transfer/rules/response.py::_STATUS_ROWS"),
    ("Response rules: tables and functions", "transfer/rules/response.py::"),
    ("The first bytes of a body", "transfer/rules/body.py::OPENING"),
    ("The body as it arrives", "transfer/rules/body.py::BODY"),
    ("The digest", "transfer/rules/body.py::DIGEST"),
    ("Redirects", "transfer/rules/redirect.py::REDIRECTS"),
    ("Recovery: its steps and their order", "jobs/recovery.py::"),
    ("The guarded UPDATE", "jobs/sqlite.py::_MOVE"),
)


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a mutant; ``noticed`` None: it survives."""

    mutant: Mutant
    noticed: Noticed | None

    @property
    def outcome(self) -> str:
        """``survives``, ``timeout``, ``import``, or the id of the test that failed."""
        if self.noticed is None:
            return "survives"
        return "timeout" if self.noticed.timed_out else self.noticed.by or "import"


def by_module(results: Iterable[Result]) -> Sequence[str]:
    """The lines of a table with the counts of each module."""
    modules: dict[str, Counter[str]] = {}
    for result in results:
        counts = modules.setdefault(result.mutant.path, Counter())
        counts["mutants"] += 1
        is_kind = result.outcome in ("survives", "timeout")
        counts[result.outcome if is_kind else "test" if "::" in result.outcome else "import"] += 1
    kinds = ("mutants", "test", "import", "timeout", "survives")
    return [
        "| Module | Mutants | A test fails | The import fails | Time limit | Survive |",
        "|---|---|---|---|---|---|",
        *(
            f"| {path} | {' | '.join(str(counts[kind]) for kind in kinds)} |"
            for path, counts in modules.items()
        ),
    ]


def by_rule(results: Sequence[Result]) -> Sequence[str]:
    """The lines of a table of the most important rules, with the tests that notice changes."""
    lines = ["| Rule | Mutants | Survive | Noticed by |", "|---|---|---|---|"]
    for rule, scope in _RULES:
        of_rule = [result for result in results if f"spsd/{scope}" in result.mutant.key]
        noticed = [result for result in of_rule if result.noticed is not None]
        tests = Counter(_function(result.outcome) for result in noticed)
        most = ", ".join(f"{name} {count}" for name, count in tests.most_common(4))
        lines.append(f"| {rule} | {len(of_rule)} | {len(of_rule) - len(noticed)} | {most} |")
    return lines


def _function(outcome: str) -> str:
    name = outcome.rpartition("::")[2].partition("[")[0]
    return f"`{name}`" if "::" in outcome else f"the {name}"


def summary(results: Sequence[Result], unexplained: int) -> str:
    """The last line of a run; ``unexplained`` is the number of survivors without a reason."""
    count = len(results)
    survivors = sum(result.noticed is None for result in results)
    percent = f"{100 * (count - survivors) / max(1, count):.1f} %"
    explained = "all explained" if not unexplained else f"{unexplained} of them not explained"
    return (
        f"mutation: {count - survivors:,} of {count:,} mutants noticed ({percent}), "
        f"{survivors} survive, {explained} in docs/mutation.md"
    )
