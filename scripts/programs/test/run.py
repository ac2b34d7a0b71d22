"""Calls pytest for scripts/test: decides on the number of processes, and what runs alone.

Tests that measure time belong to rings that run alone: in a second, short call of pytest, in one
process, while no other test runs. A lock that all tests share would have the same effect, but the
time that a test waits for it would count as its own.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.programs.test.rings import RINGS

ROOT = Path(__file__).resolve().parents[3]
MOST_WORKERS = 4
"""More workers gain little: with four the longest tests determine the time."""
NOTHING_RAN = 5
CONTINUE = {0, 1, NOTHING_RAN}
"""Exit statuses of pytest after which the next call follows: not after Ctrl-C or wrong usage."""
ALONE = {ring.name for ring in RINGS if ring.alone}
ALONE_FILES = sorted(
    {name.partition("::")[0] for ring in RINGS if ring.alone for name in ring.tests}
)
ONE_PROCESS = {"--pdb", "--trace", "-s", "--capture=no", "--collect-only", "--co", "--pictures"}
"""Options that require one process, or leave no work for two."""


def main(arguments: Sequence[str] | None = None) -> int:
    calls = planned(sys.argv[1:] if arguments is None else arguments, cores=cores())
    if calls is None:
        print(rings())
        return 0
    statuses = []
    for call in calls:
        status = subprocess.run([sys.executable, "-m", "pytest", *call], check=False).returncode
        if status not in CONTINUE:
            return status
        statuses.append(status)
    return worst(statuses)


def planned(arguments: Sequence[str], *, cores: int) -> list[list[str]] | None:
    """The arguments of each call of pytest; None: the rings are to be listed."""
    parser = argparse.ArgumentParser(prog="scripts/test", add_help=False, allow_abbrev=False)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--ring", action="append", default=[])
    parser.add_argument("--rings", action="store_true")
    options, rest = parser.parse_known_args(arguments)
    if options.rings:
        return None
    selected = ["--all"] if options.all else [f"--ring={name}" for name in options.ring]
    side_by_side = workers(rest, cores=cores)
    if options.all or ({*options.ring} & ALONE and {*options.ring} - ALONE):
        together = [*side_by_side, *selected, "--share=together", *rest]
        # The second call collects only the files of its tests: to collect all takes longer than
        # the tests themselves.
        rest = [separate_report(argument) for argument in rest]
        places = rest if named(rest) else [*rest, *ALONE_FILES]
        return [together, [*workers(rest, cores=1), *selected, "--share=alone", *places]]
    if options.ring and {*options.ring} <= ALONE:
        side_by_side = workers(rest, cores=1)
    return [[*side_by_side, *selected, *rest]]


def workers(rest: Sequence[str], *, cores: int) -> list[str]:
    """The options of pytest-xdist, none if the caller has given some.

    One process for single files and for options that require it, else one for each core, at most
    MOST_WORKERS.
    """
    if any(argument.startswith(("-n", "--numprocesses", "--dist")) for argument in rest):
        return []
    single = {*rest} & ONE_PROCESS or (
        named(rest) and not any(place.is_dir() for place in named(rest))
    )
    count = 1 if single else min(cores, MOST_WORKERS)
    return ["-n", "0"] if count == 1 else ["-n", str(count), "--dist", "worksteal"]


def named(rest: Sequence[str]) -> list[Path]:
    """The folders and files that the arguments name."""
    places = [ROOT / word.partition("::")[0] for word in rest if not word.startswith("-")]
    return [place for place in places if place.exists()]


def separate_report(argument: str) -> str:
    """The argument for the second call: its JUnit report gets another file name."""
    option, equals, name = argument.partition("=")
    if option != "--junitxml" or not equals:
        return argument
    path = Path(name)
    return f"{option}={path.with_name(f'{path.stem}-alone{path.suffix}')}"


def worst(statuses: Sequence[int]) -> int:
    """The exit status of all calls; status 5 counts only if no call has run a test.

    With `-k` one of two calls may have no test to run.
    """
    return max((status for status in statuses if status != NOTHING_RAN), default=NOTHING_RAN)


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def rings() -> str:
    """The list of rings, a line for each with its description."""
    lines = [f"{ring.name:12} {ring.description}" for ring in RINGS]
    return "\n".join([*lines, "Other tests are in the default tier: scripts/test runs these."])


if __name__ == "__main__":
    sys.exit(main())
