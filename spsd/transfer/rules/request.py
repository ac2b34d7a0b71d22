"""What to ask an origin for, as a decision table. Pure; references are to RFC 9110.

``plan`` looks at the bytes on disk and at what their origin said of the object. docs/resume.md is
printed from the rows.
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
    """What a plan is made from."""

    prefix: Prefix
    windows: Windows = WINDOWS


def comparison_request(prefix: PlanInput) -> RangeRequest:
    """What to ask where no validator vouches for the prefix."""
    length, windows = prefix.prefix.length, prefix.windows
    if length <= windows.least:
        return RangeRequest()
    if length < windows.probe_from:
        return overlap_request(prefix)
    return RangeRequest(length, probe=windows.size)


def overlap_request(prefix: PlanInput) -> RangeRequest:
    """The rest, and enough before it to see whether it belongs to what is kept."""
    length = prefix.prefix.length
    return RangeRequest(length, overlap=prefix.windows.overlap(length))


_Plan = Row[PlanInput, RangeRequest | Complete]
_ASK_WHOLE = Outcome[PlanInput, RangeRequest | Complete](
    "ask for all of it", lambda _: RangeRequest()
)
PLAN: Table[PlanInput, RangeRequest | Complete] = Table(
    (
        _Plan(
            "all-on-disk",
            "as many bytes as the origin told",
            lambda p: 0 < p.prefix.length == p.prefix.total,
            Outcome("complete, no request", lambda _: Complete()),
            "The digest is all that is missing.",
        ),
        _Plan(
            "no-bytes",
            "no byte",
            lambda p: p.prefix.length == 0,
            _ASK_WHOLE,
            "There is nothing to go on with.",
        ),
        _Plan(
            "too-many-bytes",
            "more bytes than the origin told",
            lambda p: p.prefix.total is not None and p.prefix.length > p.prefix.total,
            _ASK_WHOLE,
            "What is kept cannot be a prefix of that object.",
        ),
        _Plan(
            "strong-etag",
            "bytes with a strong ETag of this URL",
            lambda p: p.prefix.validator is not None,
            Outcome(
                "ask for the rest, with If-Range",
                lambda p: RangeRequest(p.prefix.length, p.prefix.validator),
            ),
            "The origin itself tells whether the object is the same (section 13.1.5).",
        ),
        _Plan(
            "too-few-to-compare",
            f"at most {WINDOWS.least} bytes, and no strong ETag of this URL",
            lambda p: p.prefix.length <= p.windows.least,
            _ASK_WHOLE,
            "So few are fetched sooner than compared.",
        ),
        _Plan(
            "some-to-compare",
            f"fewer than {WINDOWS.probe_from} bytes, and no strong ETag of this URL",
            lambda p: p.prefix.length < p.windows.probe_from,
            Outcome("ask for the rest and the last quarter of what is here", overlap_request),
            "Only the bytes can tell whether the object is the same. It costs no request.",
        ),
        _Plan(
            "much-to-compare",
            "more, and no strong ETag of this URL (none, a weak one, or one of another URL)",
            lambda _: True,
            Outcome(f"ask for the first {WINDOWS.size} bytes, to compare them", comparison_request),
            "Another image has another volume descriptor. Bytes and requests are bounded.",
        ),
    )
)
"""What to ask first, for what is kept."""


def plan(prefix: Prefix, windows: Windows = WINDOWS) -> RangeRequest | Complete:
    """What to ask for first."""
    return PLAN.decide(PlanInput(prefix, windows))
