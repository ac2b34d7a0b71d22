"""The first request of an attempt, as a decision table. Pure; sections are those of RFC 9110.

``plan`` decides from the bytes on disk and from what their origin stated about the object.
docs/resume.md is printed from the rows.
"""

from dataclasses import dataclass

from spsd.decision_table import Outcome, Row, Table
from spsd.transfer.rules.messages import (
    Complete,
    Prefix,
    RangeRequest,
    Windows,
)

WINDOWS = Windows()


@dataclass(frozen=True, slots=True)
class PlanInput:
    """All that decides which request is sent."""

    prefix: Prefix
    windows: Windows = WINDOWS


def comparison_request(plan_input: PlanInput) -> RangeRequest:
    """The request if no validator shows that the prefix belongs to the origin's object.

    A short prefix is fetched again; a longer one is compared by its end (``overlap``), and a long
    one by its beginning first (``probe``).
    """
    length, windows = plan_input.prefix.length, plan_input.windows
    if length <= windows.refetch_limit:
        return RangeRequest()
    if length < windows.probe_from:
        return overlap_request(plan_input)
    return RangeRequest(length, probe=windows.size)


def overlap_request(plan_input: PlanInput) -> RangeRequest:
    """The request for the missing bytes and the last window of the prefix, for comparison."""
    length = plan_input.prefix.length
    return RangeRequest(length, overlap=plan_input.windows.overlap(length))


_Plan = Row[PlanInput, RangeRequest | Complete]
_REQUEST_WHOLE = Outcome[PlanInput, RangeRequest | Complete](
    "request the whole object", lambda _: RangeRequest()
)
PLAN: Table[PlanInput, RangeRequest | Complete] = Table(
    (
        _Plan(
            "all-on-disk",
            "exactly as many bytes as the origin stated",
            lambda p: 0 < p.prefix.length == p.prefix.total,
            Outcome("complete, no request", lambda _: Complete()),
            "Only the digest is still to be compared.",
        ),
        _Plan(
            "no-bytes",
            "no bytes",
            lambda p: p.prefix.length == 0,
            _REQUEST_WHOLE,
            "There is nothing to continue.",
        ),
        _Plan(
            "too-many-bytes",
            "more bytes than the origin stated",
            lambda p: p.prefix.total is not None and p.prefix.length > p.prefix.total,
            _REQUEST_WHOLE,
            "They cannot be a prefix of that object.",
        ),
        _Plan(
            "strong-etag",
            "bytes with a strong ETag of this URL",
            lambda p: p.prefix.validator is not None,
            Outcome(
                "request the rest, with If-Range",
                lambda p: RangeRequest(p.prefix.length, p.prefix.validator),
            ),
            "The origin compares the ETag: it sends the rest of the same object, or the whole "
            "changed one (section 13.1.5).",
        ),
        _Plan(
            "too-few-to-compare",
            f"at most {WINDOWS.refetch_limit} bytes, and no strong ETag of this URL",
            lambda p: p.prefix.length <= p.windows.refetch_limit,
            _REQUEST_WHOLE,
            "To fetch so few again is faster than to compare them.",
        ),
        _Plan(
            "some-to-compare",
            f"fewer than {WINDOWS.probe_from} bytes, and no strong ETag of this URL",
            lambda p: p.prefix.length < p.windows.probe_from,
            Outcome("request the rest and the last quarter of the bytes on disk", overlap_request),
            "Only the bytes show whether the object is the same. This needs no further request.",
        ),
        _Plan(
            "much-to-compare",
            "more bytes, and no strong ETag of this URL (none, a weak one, or one of another URL)",
            lambda _: True,
            Outcome(f"request the first {WINDOWS.size} bytes, to compare them", comparison_request),
            "Another image has another volume descriptor. One request more, and a fixed number of "
            "bytes.",
        ),
    )
)
"""The first request of an attempt, by the bytes on disk."""


def plan(prefix: Prefix, windows: Windows = WINDOWS) -> RangeRequest | Complete:
    """The first request of an attempt, or ``Complete`` if no byte is missing."""
    return PLAN.decide(PlanInput(prefix, windows))
