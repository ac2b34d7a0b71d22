"""Resume: what to ask an origin for, and what its answer means. Pure, and the whole truth.

``plan`` looks at what is kept, ``judge`` at what was asked and at the head of the reply. Both are
tables, of which the first row that holds gives the verdict; docs/resume.md is printed from the
same rows. Only the digest proves bytes; the rules keep spsd from wasting or mixing them.
"""

from spsd.domain.answering import HEAD
from spsd.domain.asking import PLAN, WINDOWS, Prefix
from spsd.domain.exchange import (
    Ask,
    AskAgain,
    Complete,
    Exchange,
    Kept,
    Reply,
    Verdict,
    Windows,
)


def plan(kept: Kept, windows: Windows = WINDOWS) -> Ask | Complete:
    """What to ask for first."""
    return PLAN.decide(Prefix(kept, windows))


def judge(ask: Ask, kept: Kept, reply: Reply, *, now: int, windows: Windows = WINDOWS) -> Verdict:
    """What the reply to ``ask`` means; ``now`` (epoch seconds) is for dates in Retry-After."""
    return HEAD.decide(Exchange(ask, kept, reply, now, windows))


def difference(first: int, mine: bytes, theirs: bytes) -> AskAgain | None:
    """What a comparison from position ``first`` on means; None: it speaks for one object."""
    if mine == theirs:
        return None
    if mine.startswith(theirs):
        return AskAgain(Ask(), "the origin sent too little to compare")
    pairs = enumerate(zip(mine, theirs, strict=False))
    at = next((n for n, (a, b) in pairs if a != b), len(mine))
    return AskAgain(Ask(), f"byte {first + at} on the origin is not the one kept")
