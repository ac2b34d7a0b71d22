"""How scripts/test calls pytest: on how many cores, and what of it alone.

Tests that measure time belong to rings that run alone: a second, short call of pytest, on one core
and with nothing else of the run beside it. A lock that all tests share would do the same, but who
waits for it would count as a test that takes long.
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
"""More bring little: what is left by then are a few long tests."""
NOTHING_RAN = 5
GOES_ON = {0, 1, NOTHING_RAN}
"""Statuses of pytest after which the next call has a sense: not after Ctrl-C, or misuse."""
ALONE = {ring.name for ring in RINGS if ring.alone}
ALONE_FILES = sorted(
    {name.partition("::")[0] for ring in RINGS if ring.alone for name in ring.tests}
)
ONE_PROCESS = {"--pdb", "--trace", "-s", "--capture=no", "--collect-only", "--co", "--pictures"}
"""Options that want one process, or have nothing to do for two."""


def main(arguments: Sequence[str] | None = None) -> int:
    calls = planned(sys.argv[1:] if arguments is None else arguments, cores=cores())
    if calls is None:
        print(rings())
        return 0
    statuses = []
    for one in calls:
        status = subprocess.run([sys.executable, "-m", "pytest", *one], check=False).returncode
        if status not in GOES_ON:
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
        # Of what runs alone only the files are read: all others would take longer than their tests.
        rest = [beside(one) for one in rest]
        places = rest if named(rest) else [*rest, *ALONE_FILES]
        return [together, [*workers(rest, cores=1), *selected, "--share=alone", *places]]
    if options.ring and {*options.ring} <= ALONE:
        side_by_side = workers(rest, cores=1)
    return [[*side_by_side, *selected, *rest]]


def workers(rest: Sequence[str], *, cores: int) -> list[str]:
    """In how many processes: as the caller says, one to look closely, else one for each core."""
    if any(one.startswith(("-n", "--numprocesses", "--dist")) for one in rest):
        return []
    closely = {*rest} & ONE_PROCESS or (
        named(rest) and not any(place.is_dir() for place in named(rest))
    )
    count = 1 if closely else min(cores, MOST_WORKERS)
    return ["-n", "0"] if count == 1 else ["-n", str(count), "--dist", "worksteal"]


def named(rest: Sequence[str]) -> list[Path]:
    """The folders and files that the arguments name."""
    places = [ROOT / one.partition("::")[0] for one in rest if not one.startswith("-")]
    return [place for place in places if place.exists()]


def beside(argument: str) -> str:
    """A report of the second call has a file of its own beside that of the first."""
    option, given, name = argument.partition("=")
    if option != "--junitxml" or not given:
        return argument
    path = Path(name)
    return f"{option}={path.with_name(f'{path.stem}-alone{path.suffix}')}"


def worst(statuses: Sequence[int]) -> int:
    """Of calls one may find nothing to run (5): what `-k` means is in the other."""
    return max((one for one in statuses if one != NOTHING_RAN), default=NOTHING_RAN)


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0))


def rings() -> str:
    """A line each, and what they are of."""
    lines = [f"{ring.name:12} {ring.tells}" for ring in RINGS]
    return "\n".join([*lines, "Other tests are in the default tier: scripts/test runs these."])


if __name__ == "__main__":
    sys.exit(main())
