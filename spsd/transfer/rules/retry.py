"""When to try again."""

from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

from spsd.failures import FailureCode


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how soon; ``budget`` counts attempts in a row without getting ahead.

    ``stall_floor`` is the bytes of one stall window at the minimum rate, ``cut_floor`` those of
    the shortest wait between two attempts at it: not more than that before a stall, or before
    anything else, is a drip, and refunds nothing.
    """

    budget: int
    initial_s: float
    limit_s: float
    stall_floor: int
    cut_floor: int = 0


def gained(policy: RetryPolicy, code: FailureCode, new_bytes: int) -> bool:
    """Whether an attempt that ended with ``code`` brought bytes that refund the budget.

    ``new_bytes`` are those past the longest prefix so far: an origin that starts over and is cut
    at the same place each time brings none.
    """
    return new_bytes > (policy.stall_floor if code is FailureCode.STALL else policy.cut_floor)


RETRY_AFTER_LIMIT_S = 3600.0
"""No origin can put a job off for longer than this at a time."""


def backoff_s(
    policy: RetryPolicy, failures: int, *, spread: float, retry_after: float | None
) -> float:
    """Seconds to wait before the next attempt, after ``failures`` (1 or more) in a row.

    The wait doubles from ``policy.initial_s`` up to ``policy.limit_s``. ``spread`` (0 to 1, drawn
    at random) places it between half and the whole of that, so that a hundred appliances do not
    come back in one instant. An origin's Retry-After (RFC 9110 section 10.2.3) is a lower bound.
    """
    whole = min(policy.limit_s, policy.initial_s * 2.0 ** min(failures - 1, 32))
    wait = whole * (0.5 + spread / 2)
    return max(wait, min(retry_after or 0.0, RETRY_AFTER_LIMIT_S))


def retry_after_seconds(value: str | None, *, now: int) -> float | None:
    """Retry-After as seconds from ``now`` (epoch), in either of its forms; None if unreadable."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdecimal():
        return min(float(text), RETRY_AFTER_LIMIT_S)
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # a time zone may be any number
        return None
    aware = date if date.tzinfo is not None else date.replace(tzinfo=UTC)
    return max(0.0, aware.timestamp() - now)
