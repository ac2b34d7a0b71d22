"""What to ask an origin for, as a decision table. Pure; references are to RFC 9110.

``plan`` looks at the bytes on disk and at what their origin said of the object. docs/resume.md is
printed from the rows.
"""

from dataclasses import dataclass

from spsd.decision_table import Outcome, Row, Table
from spsd.transfer.rules.messages import (
    Ask,
    Complete,
    Kept,
    Windows,
)

WINDOWS = Windows()


@dataclass(frozen=True, slots=True)
class Prefix:
    """What a plan is made from."""

    kept: Kept
    windows: Windows = WINDOWS


def proof(prefix: Prefix) -> Ask:
    """What to ask where no validator vouches for the prefix."""
    length, windows = prefix.kept.length, prefix.windows
    if length <= windows.least:
        return Ask()
    if length < windows.probe_from:
        return overlapping(prefix)
    return Ask(length, probe=windows.size)


def overlapping(prefix: Prefix) -> Ask:
    """The rest, and enough before it to see whether it belongs to what is kept."""
    length = prefix.kept.length
    return Ask(length, overlap=prefix.windows.overlap(length))


_Plan = Row[Prefix, Ask | Complete]
_ASK_WHOLE = Outcome[Prefix, Ask | Complete]("ask for all of it", lambda _: Ask())
PLAN: Table[Prefix, Ask | Complete] = Table(
    (
        _Plan(
            "all-here",
            "as many bytes as the origin told",
            lambda p: 0 < p.kept.length == p.kept.total,
            Outcome("complete, no request", lambda _: Complete()),
            "The digest is all that is missing.",
        ),
        _Plan(
            "nothing-here",
            "no byte",
            lambda p: p.kept.length == 0,
            _ASK_WHOLE,
            "There is nothing to go on with.",
        ),
        _Plan(
            "too-much-here",
            "more bytes than the origin told",
            lambda p: p.kept.total is not None and p.kept.length > p.kept.total,
            _ASK_WHOLE,
            "What is kept cannot be a prefix of that object.",
        ),
        _Plan(
            "strong-etag",
            "bytes with a strong ETag of this URL",
            lambda p: p.kept.validator is not None,
            Outcome(
                "ask for the rest, with If-Range",
                lambda p: Ask(p.kept.length, p.kept.validator),
            ),
            "The origin itself tells whether the object is the same (section 13.1.5).",
        ),
        _Plan(
            "too-few-to-prove",
            f"at most {WINDOWS.least} bytes, and no strong ETag of this URL",
            lambda p: p.kept.length <= p.windows.least,
            _ASK_WHOLE,
            "So few are fetched sooner than compared.",
        ),
        _Plan(
            "some-to-prove",
            f"fewer than {WINDOWS.probe_from} bytes, and no strong ETag of this URL",
            lambda p: p.kept.length < p.windows.probe_from,
            Outcome("ask for the rest and the last quarter of what is here", overlapping),
            "Only the bytes can tell whether the object is the same. It costs no request.",
        ),
        _Plan(
            "much-to-prove",
            "more, and no strong ETag of this URL (none, a weak one, or one of another URL)",
            lambda _: True,
            Outcome(f"ask for the first {WINDOWS.size} bytes, to compare them", proof),
            "Another image has another volume descriptor. Bytes and requests are bounded.",
        ),
    )
)
"""What to ask first, for what is kept."""


def plan(kept: Kept, windows: Windows = WINDOWS) -> Ask | Complete:
    """What to ask for first."""
    return PLAN.decide(Prefix(kept, windows))
