"""The operator's executables, run for a slot."""

from pathlib import Path

from spsd.domain.slot import InstalledImage
from spsd.system.program_outcome import ProgramOutcome
from spsd.system.programs import GRACE_S, run_program
from spsd.transfer.staging.partial_file import IMAGE


class HookRunner:
    """Runs hooks for the slots under ``root``, which is absolute."""

    def __init__(self, root: Path, *, limit_s: float, grace_s: float = GRACE_S) -> None:
        self._grace_s = grace_s
        self._root = root
        self._limit_s = limit_s

    async def run(self, hook: str, slot: int, image: InstalledImage) -> ProgramOutcome:
        """Run the hook to its end; at the time limit, or on cancellation, it is killed.

        Its environment is PATH, SPSD_SLOT, SPSD_IMAGE, SPSD_VERSION and SPSD_SHA256: none of the
        daemon's own.
        """
        facts = {
            "SPSD_SLOT": str(slot),
            "SPSD_IMAGE": str(self._root / str(slot) / IMAGE),
            # The version is the image's word; the kernel takes no NUL in an environment.
            "SPSD_VERSION": image.info.version.replace("\0", ""),
            "SPSD_SHA256": image.sha256,
        }
        return await run_program([hook], limit_s=self._limit_s, facts=facts, grace_s=self._grace_s)
