"""Try the facts, one by one, whatever the server does."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from spsd.testing.conformance.fact import Fact, Need
from spsd.testing.conformance.reading import Broken, NotTried
from spsd.testing.conformance.target import FAULTS, Reach, Target


class Verdict(StrEnum):
    """What became of a fact."""

    HOLDS = "holds"
    BROKEN = "broken"
    DIFFERS = "differs"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Result:
    """A fact, what became of it, and the evidence, which is empty where it holds."""

    fact: Fact
    verdict: Verdict
    evidence: str = ""


def run(target: Target, facts: Iterable[Fact]) -> Iterator[Result]:
    """Try each fact; a failure of one is its evidence and stops no other."""
    for fact in facts:
        lacking = obstacle(fact, target)
        if lacking is not None:
            yield Result(fact, Verdict.SKIPPED, lacking)
            continue
        yield _tried(fact, target)


def _tried(fact: Fact, target: Target) -> Result:
    failed = Verdict.BROKEN if fact.mark.binds else Verdict.DIFFERS
    try:
        fact.check(target)
    except NotTried as reason:
        return Result(fact, Verdict.SKIPPED, str(reason))
    except Broken as evidence:
        return Result(fact, failed, str(evidence))
    except FAULTS as fault:
        return Result(fact, failed, f"{type(fault).__name__}: {fault}")
    return Result(fact, Verdict.HOLDS)


def obstacle(fact: Fact, target: Target) -> str | None:
    """Why a fact is not tried here; None: it is."""
    if target.api_version is not None and fact.newer_than(target.api_version):
        return f"known of version {fact.since} and later"
    match fact.need:
        case Need.NOTHING | Need.SESSION:
            return None
        case Need.REQUESTS | Need.ORIGIN:
            return None if target.reach >= Reach.REQUESTS else "--read-only leaves it out"
        case Need.LIMITED:
            if target.reach < Reach.REQUESTS:
                return "--read-only leaves it out"
            return None if target.limited is not None else "needs --limited-user"
        case Need.WRITES:
            return None if target.reach >= Reach.WRITES else "needs --writes"
        case Need.DESTRUCTIVE:
            return None if target.reach >= Reach.DESTRUCTIVE else "needs --destructive"
        case _:
            assert_never(fact.need)


def summary(results: Iterable[Result]) -> str:
    """The last line of a run."""
    count = Counter(one.verdict for one in results)
    return (
        f"conformance: {count[Verdict.HOLDS]} facts hold, {count[Verdict.BROKEN]} broken, "
        f"{count[Verdict.DIFFERS]} differ from our choices, {count[Verdict.SKIPPED]} skipped"
    )
