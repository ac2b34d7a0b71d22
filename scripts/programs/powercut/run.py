"""Records scenarios, cuts the power after every effect, and boots the daemon on the remainders."""

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

from scripts.programs.powercut.boot import BootError, log_lines, observe
from scripts.programs.powercut.disk import variants
from scripts.programs.powercut.effects import BEGIN, Effect, Mark
from scripts.programs.powercut.pool import check_parent, processes, work
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
"""For each digest the size of its object, and of the one that is served if the digest is wrong."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The remainders to try: all, or those of one cut, of one variant, or a random sample."""

    cut: int | None = None
    variant: str | None = None
    sample: int | None = None


@dataclass
class Outcome:
    """The result of one scenario."""

    name: str
    first: int = 0
    """The number of the first cut."""
    cuts: int = 0
    possible: int = 0
    tried: int = 0
    broken: list[str] = field(default_factory=list)


def prepared(root: Path, origin: ThreadedOrigin, scenario: Scenario) -> Stage | None:
    """Make the initial state of a scenario, with a logged-in client; None: it has none."""
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
    """A temporary directory, removed with the context."""
    path = Path(tempfile.mkdtemp(prefix="spsd-powercut-", dir=parent))
    try:
        yield path
    finally:
        shutil.rmtree(path)


def fresh(path: Path) -> Path:
    """Make an empty directory in place of what an earlier run has left."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


@dataclass(frozen=True, slots=True)
class Run:
    """A recorded scenario."""

    scenario: Scenario
    effects: Sequence[Effect]
    known: Sequence[str]
    """The marks from before the record."""
    cookie: str | None

    @property
    def begun(self) -> int:
        """The index of the mark after the initial state."""
        return self.effects.index(Mark(BEGIN))

    def remainders_of(self, effects: Sequence[Effect], only: int | None = None) -> Remainders:
        """The remainders of this run with other effects."""
        return remainders(effects, self.known, SIZES, only)


def recorded(name: str, root: Path, origin: ThreadedOrigin) -> Run:
    """Record the scenario of that name."""
    scenario = next(scenario for scenario in SCENARIOS if scenario.name == name)
    before = prepared(root, origin, scenario)
    client = Client("", UNVERIFIED, cookie=before.client.cookie if before else None)
    state, marks = (before.state, before.marks_so_far) if before else (None, [])
    effects = record(root, state, scenario.run, origin, client, plain=scenario.plain)
    return Run(scenario, effects, [*scenario.known, *marks], client.cookie)


def attempt(
    name: str,
    selection: Selection,
    keep: Path | None = None,
    forget: Callable[[Effect], bool] = lambda _: False,
) -> Outcome:
    """Record one scenario and try its remainders.

    Effects for which ``forget`` is true are left out of the record. With it a test verifies that a
    missing sync or rename breaks a promise.
    """
    outcome = Outcome(name)
    with work(), scratch() as root, ThreadedOrigin(Origin(OBJECTS)) as origin:
        run = recorded(name, root, origin)
        effects = [e for n, e in enumerate(run.effects) if n <= run.begun or not forget(e)]
        left = run.remainders_of(effects, selection.cut)
        outcome.first = run.begun
        outcome.cuts, outcome.possible = len(effects) - run.begun, left.possible
        for remainder in selected(list(left.different.values()), selection):
            check_parent()
            outcome.tried += 1
            sentences = broken_promises(remainder, origin, run)
            cut, variant = remainder.cut, remainder.variant
            if keep is not None and (sentences or selection.cut is not None):
                remainder.tree.write_to(fresh(keep / f"{name}-{cut}-{variant}"))
            for sentence in sentences:
                again = f"scripts/powercut --scenario {name} --cut {cut} --variant {variant}"
                outcome.broken.append(f"{sentence}\n  after: {remainder.after}\n  again: {again}")
    return outcome


@dataclass(frozen=True, slots=True)
class Without:
    """The result of a scenario without one kind of sync; ``broken`` is a promise that breaks."""

    name: str
    kind: str
    times: int
    new: int
    tried: int
    broken: str | None


def without_each_sync(name: str, selection: Selection) -> list[Without]:
    """Record one scenario and leave out one kind of sync at a time.

    The remainders that are possible only without it are tried until a promise breaks.
    """
    rows = []
    with work(), scratch() as root, ThreadedOrigin(Origin(OBJECTS)) as origin:
        run = recorded(name, root, origin)
        for sync in missing(run.effects, run.remainders_of):
            tried, promise = 0, None
            for remainder in selected(sync.remainders, selection):
                check_parent()
                tried += 1
                if sentences := broken_promises(remainder, origin, run):
                    promise = f"{sentences[0]} (after: {remainder.after}; {remainder.variant})"
                    break
            rows.append(Without(name, sync.kind, sync.times, len(sync.remainders), tried, promise))
    return rows


def selected(all_remainders: Sequence[Remainder], selection: Selection) -> Sequence[Remainder]:
    """The remainders of the selected variant, or a random sample of them."""
    matching = [one for one in all_remainders if selection.variant in (None, one.variant)]
    if selection.sample is None or selection.sample >= len(matching):
        return matching
    return random.Random(7).sample(matching, selection.sample)


def broken_promises(remainder: Remainder, origin: ThreadedOrigin, run: Run) -> list[str]:
    """Boot the daemon on a remainder; gives the broken promises, a sentence for each."""
    with scratch(memory()) as root:
        remainder.tree.write_to(root)
        with log_lines() as lines:
            try:
                after = observe(root, origin, run.cookie, plain=run.scenario.plain)
            except (BootError, Exception) as error:  # noqa: BLE001 - every error breaks a promise
                return [f"c: {error!r}; last log lines: {' | '.join(lines[-5:])}"]
        return broken(remainder.marks, after, most=remainder.most)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/powercut", description=__doc__)
    names = [scenario.name for scenario in SCENARIOS]
    parser.add_argument("--scenario", action="append", choices=names, help="only this scenario")
    parser.add_argument("--cut", type=int, help="only the cut after this effect")
    parser.add_argument("--variant", choices=list(variants(0)), help="only this variant")
    parser.add_argument("--sample", type=int, help="random sample of so many in each scenario")
    parser.add_argument("--jobs", type=int, default=2, help="number of parallel processes (2)")
    parser.add_argument(
        "--keep", type=Path, help="copy broken remainders, or those of --cut, to this directory"
    )
    parser.add_argument(
        "--syncs",
        action="store_true",
        help="leave out the daemon's syncs, one kind at a time: does a promise break?",
    )
    parser.add_argument("--list", action="store_true", help="print scenarios and variants")
    options = parser.parse_args(arguments)
    if options.list:
        print(*names, "", *variants(0), sep="\n")
        return 0
    if (reason := unavailable()) is not None:
        print(f"powercut: skipped: {reason}")
        return 0
    selection = Selection(options.cut, options.variant, options.sample)
    if options.syncs:
        return syncs(options.scenario or names, selection, options.jobs)
    outcomes = []
    with processes(options.jobs) as pool:
        futures = [
            pool.submit(attempt, name, selection, options.keep)
            for name in options.scenario or names
        ]
        print(f"{'scenario':12} {'cuts':>6} {'remainders':>11} {'different':>10} {'broken':>7}")
        for future in futures:
            outcome = future.result()
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
        for outcome in outcomes:
            last = outcome.first + outcome.cuts - 1
            print(f"nothing was tried: {outcome.name} has the cuts {outcome.first} to {last}")
    return 1 if failed or tried == 0 else 0


def syncs(names: Sequence[str], selection: Selection, jobs: int) -> int:
    """Print for each kind of sync whether a promise breaks without it in some scenario.

    Gives the exit status: 1 if a kind is not needed and not explained in SPARE.
    """
    needed: dict[str, bool] = {}
    print(f"{'scenario':12} {'times':>5} {'new':>5} {'tried':>5}  kind of sync")
    with processes(jobs) as pool:
        for rows in pool.map(without_each_sync, names, repeat(selection)):
            for row in rows:
                needed[row.kind] = needed.get(row.kind, False) or row.broken is not None
                print(f"{row.name:12} {row.times:5} {row.new:5} {row.tried:5}  {row.kind}")
                print(f"{'':32}{row.broken or '- nothing breaks'}", flush=True)
    spare = [kind for kind, is_needed in needed.items() if not is_needed]
    for kind in spare:
        print(f"not needed: {kind}: {SPARE.get(kind, 'not explained')}")
    unexplained = sum(kind not in SPARE for kind in spare)
    print(
        f"powercut: {len(needed)} kinds of sync left out, {len(needed) - len(spare)} needed,"
        f" {len(spare) - unexplained} spare, {unexplained} not explained"
    )
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
