"""The daemon after every power cut: records scenarios, cuts them everywhere, boots what is left."""

import argparse
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path

from scripts.programs.powercut.boot import BootError, log_lines, look
from scripts.programs.powercut.disk import variants
from scripts.programs.powercut.effects import BEGIN, Effect, Mark
from scripts.programs.powercut.pool import go_on, processes, work
from scripts.programs.powercut.promises import broken
from scripts.programs.powercut.record import UNVERIFIED, Stage, record, write_config
from scripts.programs.powercut.remainders import Remainder, Remainders, remainders
from scripts.programs.powercut.scenarios import (
    DIGEST,
    IMAGE,
    OBJECTS,
    OTHER,
    OTHER_DIGEST,
    SCENARIOS,
    WRONG,
    Scenario,
)
from scripts.programs.powercut.syncs import SPARE, missing
from spsd.testing.client import Client
from spsd.testing.origin import Origin, ThreadedOrigin
from testbed.fuse import unavailable
from testbed.memory import memory

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
    first: int = 0
    """The number of the first cut."""
    cuts: int = 0
    possible: int = 0
    tried: int = 0
    broken: list[str] = field(default_factory=list)


def prepared(root: Path, origin: ThreadedOrigin, scenario: Scenario) -> Stage | None:
    """The state in which a scenario begins, made on a good disk, and a client that is logged in."""
    if scenario.prepare is None:
        return None
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
    return stage


@contextmanager
def scratch(parent: Path | None = None) -> Iterator[Path]:
    """A directory that goes again."""
    path = Path(tempfile.mkdtemp(prefix="spsd-powercut-", dir=parent))
    try:
        yield path
    finally:
        shutil.rmtree(path)


def fresh(path: Path) -> Path:
    """An empty directory there, whatever an earlier run has left."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


@dataclass(frozen=True, slots=True)
class Run:
    """A scenario as it was recorded."""

    scenario: Scenario
    effects: Sequence[Effect]
    known: Sequence[str]
    """The marks of what was before."""
    cookie: str | None

    @property
    def begun(self) -> int:
        return self.effects.index(Mark(BEGIN))

    def left_by(self, effects: Sequence[Effect], only: int | None = None) -> Remainders:
        """What may be left, if these were the effects."""
        return remainders(effects, self.known, SIZES, only)


def recorded(name: str, root: Path, origin: ThreadedOrigin) -> Run:
    """All that the scenario did to its disk."""
    scenario = next(one for one in SCENARIOS if one.name == name)
    before = prepared(root, origin, scenario)
    client = Client("", UNVERIFIED, cookie=before.client.cookie if before else None)
    state, told = (before.state, before.told) if before else (None, [])
    effects = record(root, state, scenario.run, origin, client, plain=scenario.plain)
    return Run(scenario, effects, [*scenario.known, *told], client.cookie)


def attempt(
    name: str,
    selection: Selection,
    keep: Path | None = None,
    forget: Callable[[Effect], bool] = lambda _: False,
) -> Outcome:
    """Cut one scenario. What ``forget`` picks is left out of the record, as if nobody had done it:
    so it can be seen that a missing sync is noticed."""
    outcome = Outcome(name)
    with work(), scratch() as root, ThreadedOrigin(Origin(OBJECTS)) as origin:
        run = recorded(name, root, origin)
        effects = [e for n, e in enumerate(run.effects) if n <= run.begun or not forget(e)]
        found = run.left_by(effects, selection.cut)
        outcome.first = run.begun
        outcome.cuts, outcome.possible = len(effects) - run.begun, found.possible
        for one in chosen(list(found.different.values()), selection):
            go_on()
            outcome.tried += 1
            found_broken = judged(one, origin, run)
            if keep is not None and (found_broken or selection.cut is not None):
                one.tree.write_to(fresh(keep / f"{name}-{one.cut}-{one.luck}"))
            for sentence in found_broken:
                again = f"scripts/powercut --scenario {name} --cut {one.cut} --variant {one.luck}"
                outcome.broken.append(f"{sentence}\n  after: {one.after}\n  again: {again}")
    return outcome


@dataclass(frozen=True, slots=True)
class Without:
    """What became of a scenario without one kind of sync."""

    name: str
    kind: str
    times: int
    new: int
    tried: int
    broken: str | None


def without_each_sync(name: str, selection: Selection) -> list[Without]:
    """Leave out one kind of sync after the other, and try what can be left for that alone, until
    a promise breaks."""
    rows = []
    with work(), scratch() as root, ThreadedOrigin(Origin(OBJECTS)) as origin:
        run = recorded(name, root, origin)
        for one in missing(run.effects, run.left_by):
            tried, told = 0, None
            for remainder in chosen(one.remainders, selection):
                go_on()
                tried += 1
                if found := judged(remainder, origin, run):
                    told = f"{found[0]} (after: {remainder.after}; {remainder.luck})"
                    break
            rows.append(Without(name, one.kind, one.times, len(one.remainders), tried, told))
    return rows


def chosen(found: Sequence[Remainder], selection: Selection) -> Sequence[Remainder]:
    """Those that the selection wants."""
    wanted = [one for one in found if selection.variant in (None, one.luck)]
    if selection.sample is None or selection.sample >= len(wanted):
        return wanted
    return random.Random(7).sample(wanted, selection.sample)


def judged(one: Remainder, origin: ThreadedOrigin, run: Run) -> list[str]:
    """Boot it; the promises that do not hold."""
    with scratch(memory()) as root:
        one.tree.write_to(root)
        with log_lines() as lines:
            try:
                seen = look(root, origin, run.cookie, plain=run.scenario.plain)
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
    parser.add_argument("--keep", type=Path, help="put broken remainders there, or those of --cut")
    parser.add_argument(
        "--syncs",
        action="store_true",
        help="leave out the daemon's syncs, one kind at a time: is each of them missed?",
    )
    parser.add_argument("--list", action="store_true", help="name scenarios and variants")
    options = parser.parse_args(arguments)
    if options.list:
        print(*names, "", *variants(0), sep="\n")
        return 0
    if (why := unavailable()) is not None:
        print(f"powercut: skipped: {why}")
        return 0
    selection = Selection(options.cut, options.variant, options.sample)
    if options.syncs:
        return syncs(options.scenario or names, selection, options.jobs)
    outcomes = []
    with processes(options.jobs) as pool:
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
    if tried == 0:
        for it in outcomes:
            print(
                f"nothing was tried: {it.name} has the cuts {it.first} to", it.first + it.cuts - 1
            )
    return 1 if failed or tried == 0 else 0


def syncs(names: Sequence[str], selection: Selection, jobs: int) -> int:
    """Which kinds of sync are missed, in some scenario; 1 if one is not, and nobody knows why."""
    missed: dict[str, bool] = {}
    print(f"{'scenario':12} {'times':>5} {'new':>5} {'tried':>5}  kind of sync")
    with processes(jobs) as pool:
        for rows in pool.map(without_each_sync, names, repeat(selection)):
            for row in rows:
                missed[row.kind] = missed.get(row.kind, False) or row.broken is not None
                print(f"{row.name:12} {row.times:5} {row.new:5} {row.tried:5}  {row.kind}")
                print(f"{'':32}{row.broken or '- nothing breaks'}", flush=True)
    spare = [kind for kind, is_missed in missed.items() if not is_missed]
    for kind in spare:
        print(f"not missed: {kind}: {SPARE.get(kind, 'nobody knows why')}")
    riddles = sum(kind not in SPARE for kind in spare)
    print(
        f"powercut: {len(missed)} kinds of sync left out, {len(missed) - len(spare)} missed,"
        f" {len(spare) - riddles} spare, {riddles} not explained"
    )
    return 1 if riddles else 0


if __name__ == "__main__":
    sys.exit(main())
