"""Is the firmware that runs still what was installed?"""

from dataclasses import dataclass
from enum import StrEnum

from spsd.domain.slot import SlotContent


class Verdict(StrEnum):
    """The words of the wire. [seen in sample]; UNKNOWN is ours."""

    OK = "OK"
    CORRUPTED = "CORRUPTED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Finding:
    """What the last check found; ``age_s`` is how long ago that was, in whole seconds."""

    verdict: Verdict
    age_s: int

    @property
    def changed_files(self) -> int:
        """A slot holds one file that can change: its image."""
        return 1 if self.verdict is Verdict.CORRUPTED else 0


def judge(content: SlotContent, *, intact: bool) -> Verdict:
    """Of the current slot: what its manifest says, and whether the image agrees.

    A broken manifest proves nothing, so it is never ``intact``; where nothing lies, nothing can
    have changed.
    """
    if content is None:
        return Verdict.UNKNOWN
    return Verdict.OK if intact else Verdict.CORRUPTED
