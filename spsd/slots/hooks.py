"""The operator's executables that an upgrade runs, and the reboot command."""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

from spsd.slots.model import InstalledImage
from spsd.system.program_outcome import ProgramEnded, ProgramNotStarted, ProgramOutcome
from spsd.system.programs import GRACE_S, run_program
from spsd.transfer.staging.partial_file import IMAGE


class HookRunner:
    """Runs hooks for the slots under ``root``, an absolute path. Times are in seconds.

    A hook is killed after ``limit_s``; its killed processes have ``grace_s`` to end, and the rest
    of their output to arrive.
    """

    def __init__(self, root: Path, *, limit_s: float, grace_s: float = GRACE_S) -> None:
        self._grace_s = grace_s
        self._root = root
        self._limit_s = limit_s

    async def run(self, hook: str, slot: int, image: InstalledImage) -> ProgramOutcome:
        """Run the hook until it ends; at the time limit, or on cancellation, it is killed.

        Its environment is PATH, SPSD_SLOT, SPSD_IMAGE, SPSD_VERSION and SPSD_SHA256, and nothing
        of the daemon's own environment.
        """
        facts = {
            "SPSD_SLOT": str(slot),
            "SPSD_IMAGE": str(self._root / str(slot) / IMAGE),
            # The version comes from the image; the kernel accepts no NUL in an environment.
            "SPSD_VERSION": image.info.version.replace("\0", ""),
            "SPSD_SHA256": image.sha256,
        }
        return await run_program([hook], limit_s=self._limit_s, facts=facts, grace_s=self._grace_s)


_log = logging.getLogger(__name__)
REBOOT_DELAY_S = 1.0
"""Delay between the request and the command, so that the client receives its response first."""
LIMIT_S = 300.0
"""Time limit of the reboot command."""


class RebootCommand:
    """Runs the command without a shell when a reboot is requested; an empty one is never run."""

    def __init__(self, command: Sequence[str], *, delay_s: float = REBOOT_DELAY_S) -> None:
        self._delay_s = delay_s
        self._command = command
        self._requested = asyncio.Event()

    def request(self) -> None:
        """Request a reboot; returns immediately."""
        if self._command:
            self._requested.set()

    async def run(self) -> None:
        """Serve requests until cancelled; a failure of the command is logged."""
        while True:
            await self._requested.wait()
            await asyncio.sleep(self._delay_s)
            self._requested.clear()
            _log.info("rebooting: %s", " ".join(self._command))
            match await run_program(self._command, limit_s=LIMIT_S):
                case ProgramNotStarted(reason=reason):
                    _log.error("the reboot command cannot be run: %s", reason)
                case ProgramEnded(status=0):
                    pass
                case ProgramEnded(status=status, output=output):
                    _log.error(
                        "the reboot command ended with %d: %s", status, " ".join(output.split())
                    )
