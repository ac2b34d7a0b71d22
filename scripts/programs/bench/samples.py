"""The cost of one run, and the medians of several runs."""

import asyncio
import json
import os
import signal
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MIB: Final = 1024 * 1024
GB: Final = 1_000_000_000
_LAUNCHER: Final = Path(__file__).with_name("launcher.py")
_LIMIT_S: Final = 300.0


class BenchError(Exception):
    """The benchmark cannot continue; ``str()`` is the reason."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One run: wall time and CPU time in seconds, and peak resident memory in MiB."""

    wall_s: float
    cpu_s: float
    peak_mib: float


@dataclass(frozen=True, slots=True)
class Series:
    """The runs of one contender; each property is the median of that property."""

    samples: Sequence[Sample]

    @property
    def wall_s(self) -> float:
        return statistics.median(sample.wall_s for sample in self.samples)

    @property
    def cpu_s(self) -> float:
        return statistics.median(sample.cpu_s for sample in self.samples)

    @property
    def peak_mib(self) -> float:
        return statistics.median(sample.peak_mib for sample in self.samples)

    @property
    def spread(self) -> str:
        """The wall time of the fastest and of the slowest run, in seconds."""
        walls = [sample.wall_s for sample in self.samples]
        return f"{min(walls):.2f} to {max(walls):.2f}"


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest of the values that at least ``percent`` per cent of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-len(ordered) * percent // 100) - 1)]


async def measure_command(
    command: Sequence[str], directory: Path, environ: Mapping[str, str]
) -> Sample:
    """Run a command in a directory; the sample is of its process from start to end.

    Raises:
        BenchError: it failed, or ran for more than five minutes.
    """
    with (directory / "errors").open("w+b") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(_LAUNCHER), *command),
            cwd=directory,
            env=dict(environ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(_LIMIT_S):
                output, _ = await process.communicate()
        except TimeoutError as error:
            raise BenchError(f"{command[0]}: not over after {_LIMIT_S:.0f} s") from error
        finally:
            if process.returncode is None:
                # The process group has the launcher and the processes of the command.
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        cost = json.loads(output or "{}")
        if (status := cost.get("status", process.returncode)) != 0:
            errors.seek(0)
            last = errors.read().decode(errors="replace").strip().split("\n")[-1]
            raise BenchError(f"{' '.join(command)[:200]}: exit status {status}: {last}")
    return Sample(cost["wall_s"], cost["cpu_s"], cost["peak_kib"] / 1024)
