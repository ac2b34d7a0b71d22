"""When a new job may ask its origin first, so that a fleet does not ask in one instant."""

import hashlib
from dataclasses import dataclass

from spsd.digest import Sha256


@dataclass(frozen=True, slots=True)
class StartSpread:
    """Starts of one image, spread evenly over ``over_s`` seconds from the request; 0: at once.

    ``appliance`` is any text that no other appliance has. One appliance and one image give the
    same delay each time; another image gives another, so that nobody is always the last.
    """

    appliance: str
    over_s: float

    def wait_s(self, digest: Sha256, *, asked_at: int, now: int) -> float:
        """Seconds still to wait: 0 or more, and less than ``over_s`` unless that is 0.

        What a job has waited already, in the queue or before a restart, counts; a clock that was
        set back lengthens no wait beyond the whole delay.
        """
        delay = self._fraction(digest) * self.over_s
        return min(delay, max(0.0, delay - (now - asked_at)))

    def _fraction(self, digest: Sha256) -> float:
        drawn = hashlib.sha256(f"{self.appliance}\0{digest}".encode()).digest()
        return int.from_bytes(drawn[:6]) / 0x1_0000_0000_0000
