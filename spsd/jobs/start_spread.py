"""The delay of a new job's first request, so that a fleet does not request in the same instant."""

import hashlib
from dataclasses import dataclass

from spsd.digest import Sha256


@dataclass(frozen=True, slots=True)
class StartSpread:
    """Spreads the first requests for an image evenly over ``over_s`` seconds; 0: no delay.

    ``appliance`` is any text that no other appliance has. The same appliance and the same image
    always give the same delay. Another image gives another delay, so that no appliance is always
    the last.
    """

    appliance: str
    over_s: float

    def wait_s(self, digest: Sha256, *, submitted_at: int, now: int) -> float:
        """Seconds still to wait: 0 or more, and less than ``over_s`` unless that is 0.

        ``submitted_at`` and ``now`` are seconds since the epoch. The time since the submission, in
        the queue or before a restart, counts. A clock that was set back makes the wait no longer
        than the whole delay.
        """
        delay = self._fraction(digest) * self.over_s
        return min(delay, max(0.0, delay - (now - submitted_at)))

    def _fraction(self, digest: Sha256) -> float:
        pseudorandom = hashlib.sha256(f"{self.appliance}\0{digest}".encode()).digest()
        return int.from_bytes(pseudorandom[:6]) / 0x1_0000_0000_0000
