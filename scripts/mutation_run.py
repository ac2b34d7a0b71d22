"""Changes the rules one small thing at a time and tells which changes no test notices."""

import argparse
import multiprocessing
import sys
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from scripts.generated_docs import ROOT, renewed
from scripts.mutants import Mutant, mutants, sample
from scripts.mutation_tests import WIDE, nearest
from scripts.mutation_trial import Noticed, Trial, module_name, run, warm_up

PATHS = ("spsd/domain", "spsd/services/recovery.py", "spsd/adapters/job_repository.py")
EXPLANATIONS = ROOT / "docs" / "mutation.toml"
DOCUMENT = ROOT / "docs" / "mutation.md"
NEAREST_S, WIDE_S = 60, 180
WORKERS = 2


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a mutant; ``noticed`` None: it lives."""

    mutant: Mutant
    noticed: Noticed | None


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/mutation", description=__doc__)
    parser.add_argument("paths", nargs="*", default=PATHS, help="files or folders of spsd")
    parser.add_argument("--sample", type=int, default=0, metavar="N", help="only N of them")
    parser.add_argument("--list", action="store_true", help="print the mutants, run nothing")
    parser.add_argument("--write", action="store_true", help="put the table into docs/mutation.md")
    parser.add_argument("--near", action="store_true", help="only the tests nearest to a module")
    parser.add_argument("--log", type=Path, help="a line for each mutant and who noticed it")
    options = parser.parse_args(arguments)
    every = [one for path in files(options.paths) for one in mutants(ROOT, path)]
    chosen = sample(every, options.sample)
    if options.list:
        print(*(f"{one.path}:{one.line}: {one.key}" for one in chosen), sep="\n")
        return 0
    results = tried(chosen, near=options.near, log=options.log)
    explained = explanations()
    living = [one.mutant for one in results if one.noticed is None]
    riddles = [one for one in living if one.key not in explained]
    print("\n".join(table(results)))
    for one in riddles:
        print(f"mutation: not noticed: {one.path}:{one.line}: {one.key}")
    if options.write:
        text = DOCUMENT.read_text(encoding="utf-8")
        DOCUMENT.write_text(renewed(text, "score", "\n".join(table(results))), encoding="utf-8")
    print(summary(len(results), len(living), len(riddles)))
    return 1 if riddles else 0


def files(paths: Sequence[str]) -> Sequence[str]:
    """The modules below ``paths``, from the root of the project."""
    found: list[Path] = []
    for path in paths:
        at = ROOT / path
        found += sorted(at.glob("*.py")) if at.is_dir() else [at]
    return [str(one.relative_to(ROOT)) for one in found]


def tried(
    chosen: Sequence[Mutant], *, near: bool = False, log: Path | None = None
) -> Sequence[Result]:
    """Each mutant against the tests nearest to it, and who lives against all the others too."""
    warm_up()
    results = []
    with multiprocessing.get_context("fork").Pool(WORKERS) as pool:
        for number, one in enumerate(pool.imap(partial(_try, near=near), chosen), 1):
            results.append(one)
            if log is not None:
                with log.open("a", encoding="utf-8") as lines:
                    lines.write(f"{told(one)}\t{one.mutant.path}:{one.mutant.line}\t")
                    lines.write(f"{one.mutant.key}\n")
            if number % 200 == 0:
                print(f"mutation: {number} of {len(chosen)}", flush=True)
    return results


def _try(mutant: Mutant, *, near: bool) -> Result:
    name = module_name(mutant.path)
    noticed = run(Trial(name, mutant.text, nearest(name.rpartition(".")[2]), NEAREST_S))
    if noticed is None and not near:
        noticed = run(Trial(name, mutant.text, WIDE, WIDE_S))
    return Result(mutant, noticed)


def told(result: Result) -> str:
    """In a word and the test's name."""
    if result.noticed is None:
        return "LIVES"
    if result.noticed.timed_out:
        return "timeout"
    return result.noticed.by or "import"


def table(results: Sequence[Result]) -> Sequence[str]:
    """The counts of each module, as a Markdown table."""
    of: dict[str, Counter[str]] = {}
    for one in results:
        count = of.setdefault(one.mutant.path, Counter())
        count["mutants"] += 1
        match one.noticed:
            case None:
                count["lives"] += 1
            case Noticed(timed_out=True):
                count["timeout"] += 1
            case Noticed(by=by) if "::" in by:
                count["test"] += 1
            case _:
                count["import"] += 1
    kinds = ("mutants", "test", "import", "timeout", "lives")
    lines = [
        "| Module | Mutants | A test fails | The import fails | Time limit | Survive |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {path} | {' | '.join(str(count[kind]) for kind in kinds)} |"
        for path, count in of.items()
    ]
    return lines


def explanations(path: Path = EXPLANATIONS) -> Mapping[str, str]:
    """Why a mutant may live, by its key."""
    groups = tomllib.loads(path.read_text(encoding="utf-8")).get("group", [])
    return {key: group["why"] for group in groups for key in group["mutants"]}


def summary(count: int, living: int, riddles: int) -> str:
    """The last line."""
    noticed = count - living
    percent = f"{100 * noticed / max(1, count):.1f} %"
    explained = "all explained" if not riddles else f"{riddles} of them not explained"
    return (
        f"mutation: {noticed:,} of {count:,} mutants noticed ({percent}), "
        f"{living} survive, {explained} in docs/mutation.md"
    )


if __name__ == "__main__":
    sys.exit(main())
