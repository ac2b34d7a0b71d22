"""The reboot that an upgrade asks for."""

import asyncio
import logging
from collections.abc import Sequence

from spsd.system.program_outcome import ProgramEnded, ProgramNotStarted
from spsd.system.programs import run_program

_log = logging.getLogger(__name__)

REBOOT_DELAY_S = 1.0
"""Between the request and the command, so that the client has its answer."""

LIMIT_S = 300.0


class RebootCommand:
    """Runs the command, without a shell, when somebody asks; an empty one is never run."""

    def __init__(self, command: Sequence[str], *, delay_s: float = REBOOT_DELAY_S) -> None:
        self._delay_s = delay_s
        self._command = command
        self._requested = asyncio.Event()

    def request(self) -> None:
        """Ask for a reboot; returns at once."""
        if self._command:
            self._requested.set()

    async def run(self) -> None:
        """Serve requests until cancelled; a command that fails is logged."""
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
