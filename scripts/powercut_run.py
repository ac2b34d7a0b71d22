"""The daemon after every power cut: records scenarios, cuts them everywhere, boots what is left."""

import argparse
import multiprocessing
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from scripts.powercut_boot import BootError, log_lines, look
from scripts.powercut_daemon import shrink
from scripts.powercut_disk import variants
from scripts.powercut_effects import Effect, Mark
from scripts.powercut_promises import broken
from scripts.powercut_record import Stage, record, unavailable, write_config
from scripts.powercut_recorder import BEGIN
from scripts.powercut_remainders import Remainder, remainders
from scripts.powercut_scenarios import (
    DIGEST,
    IMAGE,
    OBJECTS,
    OTHER,
    OTHER_DIGEST,
    SCENARIOS,
    WRONG,
    Scenario,
)
from spsd.testing.client import Client
from spsd.testing.origin import Origin, ThreadedOrigin

MEMORY = Path("/dev/shm")
SIZES = {
    DIGEST: (len(IMAGE), len(OTHER)),
    OTHER_DIGEST: (len(OTHER), len(OTHER)),
    WRONG: (len(OTHER), len(OTHER)),
}
"""What is fetched for a digest: if the origin has it, and if the origin has something else."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which remainders are tried: all, or those of one cut, one variant, or some by chance."""

    cut: int | None = None
    variant: str | None = None
    sample: int | None = None


@dataclass
class Outcome:
    """What became of one scenario."""

    name: str
    cuts: int = 0
    possible: int = 0
    tried: int = 0
    broken: list[str] = field(default_factory=list)


def scenario_of(name: str) -> Scenario:
    """The scenario of that name."""
    return next(one for one in SCENARIOS if one.name == name)


def prepared(root: Path, origin: ThreadedOrigin, name: str) -> tuple[Path | None, Client]:
    """The state in which a scenario begins, made on a good disk, and a client that is logged in."""
    scenario = scenario_of(name)
    if scenario.prepare is None:
        return None, Client("")
    (root / "before").mkdir()
    stage = Stage(root / "before", root / "before/state", origin, marks=False)
    write_config(stage.config, stage.state)
    try:
        stage.add_user()
        stage.start("long ago")
        stage.log_in()
        stage.stop()
        scenario.prepare(stage)
    finally:
        stage.kill()
    return stage.state, Client("", cookie=stage.client.cookie)


@contextmanager
def scratch(parent: Path | None = None) -> Iterator[Path]:
    """A directory that goes again."""
    path = Path(tempfile.mkdtemp(prefix="spsd-powercut-", dir=parent))
    try:
        yield path
    finally:
        shutil.rmtree(path)


def recorded(name: str, root: Path, origin: ThreadedOrigin) -> tuple[list[Effect], Client]:
    """All that the scenario did to its disk."""
    scenario = scenario_of(name)
    state, client = prepared(root, origin, name)
    return record(root, state, scenario.run, origin, client), client


def attempt(
    name: str,
    selection: Selection,
    keep: Path | None = None,
    forget: Callable[[Effect], bool] = lambda _: False,
) -> Outcome:
    """Cut one scenario. What ``forget`` picks is left out of the record, as if nobody had done it:
    so it can be seen that a missing sync is noticed."""
    shrink()
    outcome = Outcome(name)
    with scratch() as root, ThreadedOrigin(Origin(OBJECTS)) as origin:
        effects, client = recorded(name, root, origin)
        begun = effects.index(Mark(BEGIN))
        effects = [e for n, e in enumerate(effects) if n <= begun or not forget(e)]
        found = remainders(effects, scenario_of(name).known, SIZES)
        outcome.cuts, outcome.possible = len(effects) - begun, found.possible
        for one in chosen(list(found.different.values()), selection):
            outcome.tried += 1
            for sentence in judged(one, origin, client.cookie, keep):
                again = f"scripts/powercut --scenario {name} --cut {one.cut} --variant {one.luck}"
                outcome.broken.append(f"{sentence}\n  after: {one.after}\n  again: {again}")
    return outcome


def chosen(found: Sequence[Remainder], selection: Selection) -> Sequence[Remainder]:
    """Those that the selection wants."""
    wanted = [
        one
        for one in found
        if selection.cut in (None, one.cut) and selection.variant in (None, one.luck)
    ]
    if selection.sample is None or selection.sample >= len(wanted):
        return wanted
    return random.Random(7).sample(wanted, selection.sample)


def judged(
    one: Remainder, origin: ThreadedOrigin, cookie: str | None, keep: Path | None
) -> list[str]:
    """Boot it; the promises that do not hold."""
    with scratch(MEMORY if MEMORY.is_dir() else None) as root:
        one.tree.write_to(root)
        if keep is not None:
            shutil.copytree(root, keep, symlinks=True)
        with log_lines() as lines:
            try:
                seen = look(root, origin, cookie)
            except (BootError, Exception) as error:  # noqa: BLE001 - whatever it is, it is told
                return [f"c: {error!r}; it logged: {' | '.join(lines[-5:])}"]
        return broken(one.marks, seen, most=one.most)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/powercut", description=__doc__)
    names = [scenario.name for scenario in SCENARIOS]
    parser.add_argument("--scenario", action="append", choices=names, help="this one alone")
    parser.add_argument("--cut", type=int, help="the cut after this effect alone")
    parser.add_argument("--variant", choices=list(variants(0)), help="this luck alone")
    parser.add_argument("--sample", type=int, help="so many remainders of each scenario, by chance")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--keep", type=Path, help="put what is left there too; one remainder only")
    parser.add_argument("--list", action="store_true", help="name scenarios and variants")
    options = parser.parse_args(arguments)
    if options.list:
        print(*names, "", *variants(0), sep="\n")
        return 0
    if (why := unavailable()) is not None:
        print(f"powercut: skipped: {why}")
        return 0
    selection = Selection(options.cut, options.variant, options.sample)
    context = multiprocessing.get_context("spawn")
    outcomes = []
    with ProcessPoolExecutor(options.jobs, mp_context=context) as pool:
        asked = [
            pool.submit(attempt, name, selection, options.keep)
            for name in options.scenario or names
        ]
        print(f"{'scenario':12} {'cuts':>6} {'remainders':>11} {'different':>10} {'broken':>7}")
        for one in asked:
            outcome = one.result()
            outcomes.append(outcome)
            print(
                f"{outcome.name:12} {outcome.cuts:6} {outcome.possible:11}"
                f" {outcome.tried:10} {len(outcome.broken):7}",
                flush=True,
            )
    for outcome in outcomes:
        print(*outcome.broken[:20], sep="\n", end="\n" if outcome.broken else "")
    tried, failed = sum(o.tried for o in outcomes), sum(len(o.broken) for o in outcomes)
    cuts = sum(outcome.cuts for outcome in outcomes)
    print(f"powercut: {tried:,} remainders of {cuts:,} cuts, {failed} broken")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
