"""Try the facts, one by one; no response of the server ends the run early."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from spsd.testing.conformance.checks import Broken, NotTried
from spsd.testing.conformance.fact import Fact, Need
from spsd.testing.conformance.target import CALL_ERRORS, Reach, Target


class Verdict(StrEnum):
    """The outcome of trying a fact."""

    HOLDS = "holds"
    BROKEN = "broken"
    """It does not hold, and it binds: see `Mark.binds`."""
    DIFFERS = "differs"
    """It does not hold, and does not bind."""
    SKIPPED = "skipped"
    """It was not tried; the evidence says why."""


@dataclass(frozen=True, slots=True)
class Result:
    """A fact, its verdict, and the evidence, which is empty if the fact holds."""

    fact: Fact
    verdict: Verdict
    evidence: str = ""


def run(target: Target, facts: Iterable[Fact]) -> Iterator[Result]:
    """Try each fact and yield its result; an error becomes the evidence of its fact."""
    for fact in facts:
        reason = skip_reason(fact, target)
        if reason is not None:
            yield Result(fact, Verdict.SKIPPED, reason)
            continue
        yield _try(fact, target)


def _try(fact: Fact, target: Target) -> Result:
    failed = Verdict.BROKEN if fact.mark.binds else Verdict.DIFFERS
    try:
        fact.check(target)
    except NotTried as reason:
        return Result(fact, Verdict.SKIPPED, str(reason))
    except Broken as evidence:
        return Result(fact, failed, str(evidence))
    except CALL_ERRORS as error:
        return Result(fact, failed, f"{type(error).__name__}: {error}")
    return Result(fact, Verdict.HOLDS)


def skip_reason(fact: Fact, target: Target) -> str | None:
    """The reason why this run does not try the fact; None: it does."""
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
    """The last line of the output, with the number of each verdict."""
    count = Counter(result.verdict for result in results)
    return (
        f"conformance: {count[Verdict.HOLDS]} facts hold, {count[Verdict.BROKEN]} broken, "
        f"{count[Verdict.DIFFERS]} differ from our choices, {count[Verdict.SKIPPED]} skipped"
    )
