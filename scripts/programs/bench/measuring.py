"""What one run took, and what several runs of the same amount to."""

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
    """The benchmark cannot go on; ``str()`` says why."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One run: seconds by the clock, seconds of CPU, resident memory at its highest in MiB."""

    wall_s: float
    cpu_s: float
    peak_mib: float


@dataclass(frozen=True, slots=True)
class Series:
    """The runs of one contender; medians, each of its own."""

    samples: Sequence[Sample]

    @property
    def wall_s(self) -> float:
        return statistics.median(one.wall_s for one in self.samples)

    @property
    def cpu_s(self) -> float:
        return statistics.median(one.cpu_s for one in self.samples)

    @property
    def peak_mib(self) -> float:
        return statistics.median(one.peak_mib for one in self.samples)

    @property
    def spread(self) -> str:
        """The fastest and the slowest run, in seconds by the clock."""
        walls = [one.wall_s for one in self.samples]
        return f"{min(walls):.2f} to {max(walls):.2f}"


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many per cent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-len(ordered) * percent // 100) - 1)]


async def measured(words: Sequence[str], directory: Path, environ: Mapping[str, str]) -> Sample:
    """Run a command to its end in the directory, as a process measured whole.

    Raises:
        BenchError: it failed, or took more than five minutes.
    """
    with (directory / "errors").open("w+b") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(_LAUNCHER), *words),
            cwd=directory,
            env=dict(environ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(_LIMIT_S):
                said, _ = await process.communicate()
        except TimeoutError as error:
            raise BenchError(f"{words[0]}: not over after {_LIMIT_S:.0f} s") from error
        finally:
            if process.returncode is None:
                # Its own process group: the launcher and what it started.
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        told = json.loads(said or "{}")
        if (status := told.get("status", process.returncode)) != 0:
            errors.seek(0)
            last = errors.read().decode(errors="replace").strip().split("\n")[-1]
            raise BenchError(f"{' '.join(words)[:200]}: exit status {status}: {last}")
    return Sample(told["wall_s"], told["cpu_s"], told["peak_kib"] / 1024)
