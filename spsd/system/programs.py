"""Run one program to its end or to a time limit, and leave none of its processes behind.

The program leads a session of its own. Its whole process group is killed when the program has
ended, when its time limit is reached, or when the waiting task is cancelled. Only a process that
leaves the group on purpose keeps running. A pidfd reports the end. The leader is reaped after the
group is killed, since until then its process id, which is that of the group, cannot be reused.
"""

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence

from spsd.cancellation import to_completion
from spsd.system.program_outcome import ProgramEnded, ProgramNotStarted, ProgramOutcome

_log = logging.getLogger(__name__)
OUTPUT_LIMIT = 16 * 1024
"""Bytes of output that are stored. The rest is read and dropped, so that the program can write."""
GRACE_S = 2.0
"""How long killed processes may take to end, and the rest of their output to arrive."""


async def run_program(
    command: Sequence[str],
    *,
    limit_s: float,
    facts: Mapping[str, str] | None = None,
    grace_s: float = GRACE_S,
) -> ProgramOutcome:
    """Run ``command`` without a shell, and wait for its end, for ``limit_s`` seconds at most.

    Its environment is PATH and ``facts``, its standard input is empty, and its working directory
    is ``/``.
    """
    child = _Child(grace_s)
    timed_out = False
    try:
        try:
            # A cancelled start would leave a process that no code knows of.
            await to_completion(asyncio.to_thread(child.start, command, facts or {}))
        # ValueError: a NUL character in a path or an argument.
        except (OSError, ValueError) as error:
            return ProgramNotStarted(getattr(error, "strerror", None) or str(error))
        await child.observe()
        try:
            async with asyncio.timeout(limit_s):
                await child.exited.wait()
        except TimeoutError:
            timed_out = True
    finally:
        await to_completion(child.end())
    return child.outcome(timed_out=timed_out)


class _Child:
    """A process with its pidfd, and the beginning of its output."""

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self.exited = asyncio.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfd: int | None = None
        self._output = _Output()
        self._pipe: asyncio.ReadTransport | None = None

    def start(self, command: Sequence[str], facts: Mapping[str, str]) -> None:
        """Start the program; call it in a thread, since it blocks until the program runs.

        Raises:
            OSError, ValueError: the program cannot be run.
        """
        self._process = subprocess.Popen(
            list(command),
            bufsize=0,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={"PATH": os.environ.get("PATH", os.defpath), **facts},
            start_new_session=True,
        )
        self._pidfd = os.pidfd_open(self._process.pid)

    async def observe(self) -> None:
        """Begin to read the program's output, and set ``exited`` when it ends."""
        loop = asyncio.get_running_loop()
        if self._process is None or self._pidfd is None:
            raise ValueError("the program has not been started")
        loop.add_reader(self._pidfd, self._has_exited, self._pidfd)
        self._pipe, _ = await loop.connect_read_pipe(lambda: self._output, self._process.stdout)

    def _has_exited(self, pidfd: int) -> None:
        asyncio.get_running_loop().remove_reader(pidfd)
        self.exited.set()

    async def end(self) -> None:
        """Kill what is left of the group, read the rest of the output, and reap the leader."""
        if self._process is None:
            return
        # PermissionError: the group has changed its user, and cannot be killed.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        if self._pidfd is not None:
            if not self.exited.is_set():
                loop = asyncio.get_running_loop()
                loop.add_reader(self._pidfd, self._has_exited, self._pidfd)
                await self._wait_for(self.exited)
                loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
        if self._pipe is not None:
            await self._wait_for(self._output.ended)
            self._pipe.close()
        elif self._process.stdout is not None:
            self._process.stdout.close()
        self._process.poll()

    async def _wait_for(self, event: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(self._grace_s):
                await event.wait()
        except TimeoutError:
            _log.warning("a killed program has not ended, or another process holds its output open")

    def outcome(self, *, timed_out: bool) -> ProgramEnded:
        """How the program ended; one that could not be killed is reported as killed."""
        status = self._process.returncode if self._process is not None else None
        return ProgramEnded(
            status=-signal.SIGKILL if status is None else status,
            output=self._output.beginning.decode(errors="replace"),
            timed_out=timed_out,
            left_out=self._output.left_out,
        )


class _Output(asyncio.Protocol):
    """Stores the beginning of the data from a pipe, and counts the rest."""

    def __init__(self) -> None:
        self.beginning = bytearray()
        self.left_out = 0
        self.ended = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        taken = data[: OUTPUT_LIMIT - len(self.beginning)]
        self.beginning += taken
        self.left_out += len(data) - len(taken)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the pipe ended, with an error or not
        self.ended.set()
