"""What the rows on a reply's head are made of: tests of it, and verdicts with their words."""

from collections.abc import Callable

from spsd.decision_table import Outcome, Row
from spsd.domain.exchange import Ask, AskAgain, Exchange, Reject, StartOver, Verdict
from spsd.domain.retry import retry_after_seconds
from spsd.failures import FailureCode, OriginError

HeadRow = Row[Exchange, Verdict]
Then = Outcome[Exchange, Verdict]
Test = Callable[[Exchange], bool]


def status(status: int, test: Test = lambda _: True) -> Test:
    """Whether the reply has that status, and passes the test."""
    return lambda seen: seen.reply.status == status and test(seen)


def retry_after(seen: Exchange) -> float | None:
    """Retry-After in seconds, if it can be read."""
    return retry_after_seconds(seen.reply.headers.get("retry-after"), now=seen.now)


def whole(why: str) -> Then:
    """Not this body, but all of the object."""
    return Outcome("ask again, for all of it", lambda _: AskAgain(Ask(), why))


def over(why: str) -> Then:
    """This body, from byte 0."""
    return Outcome("start over with this body", lambda seen: StartOver(seen.reply.length, why))


def for_good(code: FailureCode, what: Callable[[Exchange], str]) -> Then:
    """No attempt will do better."""

    def verdict(seen: Exchange) -> Verdict:
        evidence = {"kept bytes": seen.kept.length} if seen.kept.length else {}
        return Reject(OriginError(code, what(seen), evidence, transient=False))

    return Outcome(f"fail for good: `{code}`", verdict)


def for_now(code: FailureCode, what: Callable[[Exchange], str]) -> Then:
    """A later attempt may do better."""
    return Outcome(
        f"try later: `{code}`",
        lambda seen: Reject(OriginError(code, what(seen), retry_after=retry_after(seen))),
    )
