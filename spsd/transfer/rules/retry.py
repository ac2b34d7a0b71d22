"""When a failed attempt is repeated: the wait, Retry-After, and what refunds the budget. Pure."""

from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

from spsd.failures import FailureCode


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how soon attempts are repeated.

    ``budget`` is the number of attempts in a row without progress. ``initial_s`` and ``limit_s``
    are the first and the longest wait. An attempt refunds the budget only if it brought more bytes
    than a floor, so that an origin which sends a few bytes each time is not requested for ever:
    ``stall_floor`` before a stall (one stall window at the minimum rate), ``cut_floor`` before any
    other end (the shortest wait between two attempts, at the minimum rate).
    """

    budget: int
    initial_s: float
    limit_s: float
    stall_floor: int
    cut_floor: int = 0


def refunds_budget(policy: RetryPolicy, code: FailureCode, new_bytes: int) -> bool:
    """Whether an attempt that ended with ``code`` brought enough bytes to refund the budget.

    ``new_bytes`` counts bytes beyond the longest prefix so far: an origin that starts over and
    breaks off at the same place each time brings none.
    """
    return new_bytes > (policy.stall_floor if code is FailureCode.STALL else policy.cut_floor)


RETRY_AFTER_LIMIT_S = 3600.0
"""The longest wait that an origin's Retry-After can cause, in seconds."""


def backoff_s(
    policy: RetryPolicy, failures: int, *, spread: float, retry_after: float | None
) -> float:
    """Seconds to wait before the next attempt, after ``failures`` (1 or more) in a row.

    The wait doubles from ``policy.initial_s`` up to ``policy.limit_s``. ``spread`` (0 to 1, drawn
    at random) places it between half and the whole of that, so that a hundred appliances do not
    return at the same moment. An origin's Retry-After (RFC 9110 section 10.2.3) is a lower bound.
    """
    whole = min(policy.limit_s, policy.initial_s * 2.0 ** min(failures - 1, 32))
    wait = whole * (0.5 + spread / 2)
    return max(wait, min(retry_after or 0.0, RETRY_AFTER_LIMIT_S))


def retry_after_seconds(value: str | None, *, now: int) -> float | None:
    """Retry-After as seconds from ``now`` (epoch); None if absent or unreadable.

    Both forms are accepted (RFC 9110 section 10.2.3): a number of seconds, or an HTTP date (section
    5.6.7). A date in the past means 0.
    """
    if value is None:
        return None
    text = value.strip()
    # Form 1: delay-seconds, a non-negative number.
    if text.isascii() and text.isdecimal():
        return min(float(text), RETRY_AFTER_LIMIT_S)
    # Form 2: HTTP-date.
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # OverflowError: the time zone may be any number
        return None
    aware = date if date.tzinfo is not None else date.replace(tzinfo=UTC)
    return max(0.0, aware.timestamp() - now)
