"""Changes the rules one small thing at a time and tells which changes no test notices."""

import argparse
import multiprocessing
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from scripts.programs.docs.run import ROOT, renewed
from scripts.programs.mutation.mutants import Mutant, mutants, sample
from scripts.programs.mutation.survivors import reasons
from scripts.programs.mutation.tables import Result, by_module, by_rule, summary
from scripts.programs.mutation.tests import WIDE, nearest
from scripts.programs.mutation.trial import Noticed, Trial, module_name, run, warm_up

PATHS = (
    "spsd/errors.py",
    "spsd/failures.py",
    "spsd/digest.py",
    "spsd/decision_table.py",
    "spsd/storage/faults.py::APPLICATION_ID,Trouble,MEANING,ADVICE,DatabaseError",
    "spsd/storage/inspection.py::Examined,judge_database",
    "spsd/system/host.py::Load,CpuTime,BOOT,busy_percent,HostName,host_name,search_domain",
    "spsd/system/program_outcome.py",
    "spsd/transfer/rules",
    "spsd/transfer/ports.py::StagingKey,_UUID,_KEY,download_key,upload_key,parse_staging_key,Progress",
    "spsd/transfer/http/tls.py::Validity,time_evidence,_shown,_parsed",
    "spsd/transfer/worker.py::joined",
    "spsd/slots/model.py",
    "spsd/slots/boot.py",
    "spsd/slots/checks.py",
    "spsd/slots/integrity.py::Verdict,Finding,judge",
    "spsd/jobs/lifecycle.py",
    "spsd/jobs/job.py",
    "spsd/jobs/start_spread.py",
    "spsd/jobs/recovery.py",
    "spsd/jobs/sqlite.py",
    "spsd/accounts/model.py",
    "spsd/web/middleware/slow_clients.py",
    "spsd/doctor/rules.py",
)
"""The rules, wherever they are: folders, files, and the names that count of a file with others."""
DOCUMENT = ROOT / "docs" / "mutation.md"
NEAREST_S, WIDE_S = 120, 300
WORKERS = 2


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/mutation", description=__doc__)
    parser.add_argument("paths", nargs="*", default=PATHS, help="files or folders of spsd")
    parser.add_argument("--sample", type=int, default=0, metavar="N", help="only N of them")
    parser.add_argument("--near", action="store_true", help="only the tests nearest to a module")
    parser.add_argument("--list", action="store_true", help="print the mutants, run nothing")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/mutation.md")
    parser.add_argument(
        "--log",
        type=Path,
        metavar="FILE",
        help="what became of each; what it says was noticed in an earlier run is not tried again",
    )
    options = parser.parse_args(arguments)
    every = mutants_of(options.paths)
    chosen = sample(every, options.sample)
    if options.list:
        print(*(f"{one.path}:{one.line}: {one.key}" for one in chosen), sep="\n")
        return 0
    explained = reasons()
    results = list(tried(chosen, explained, near=options.near, log=options.log))
    riddles = [
        one.mutant for one in results if one.noticed is None and one.mutant.key not in explained
    ]
    print(*by_module(results), sep="\n")
    for one in riddles:
        print(f"mutation: not noticed: {one.path}:{one.line}: {one.key}")
    if options.write:
        text = DOCUMENT.read_text(encoding="utf-8")
        for name, lines in (("rules", by_rule(results)), ("score", by_module(results))):
            text = renewed(text, name, "\n".join(lines))
        text = renewed(text, "summary", f"`{summary(results, len(riddles))}`")
        DOCUMENT.write_text(text, encoding="utf-8")
    print(summary(results, len(riddles)))
    return 1 if riddles else 0


def mutants_of(paths: Iterable[str]) -> Sequence[Mutant]:
    """Every mutant of the files below ``paths``; of ``FILE::NAME,NAME`` those of these names."""
    found: list[Mutant] = []
    for path in paths:
        at, _, names = path.partition("::")
        for file in files(at):
            found += mutants(ROOT, file, names.split(",") if names else None)
    return found


def files(path: str) -> Sequence[str]:
    """The modules below ``path``, from the root of the project."""
    at = ROOT / path
    found = sorted(at.glob("*.py")) if at.is_dir() else [at]
    return [str(one.relative_to(ROOT)) for one in found]


def tried(
    chosen: Sequence[Mutant], explained: Mapping[str, str], *, near: bool, log: Path | None
) -> Iterator[Result]:
    """Each mutant against the tests nearest to it, and who lives against all the others too.

    Of one that may live nothing more is asked: for such the nearest tests do.
    """
    earlier = known(log)
    new = [one for one in chosen if one.key not in earlier]
    warm_up()
    with multiprocessing.get_context("fork").Pool(WORKERS) as pool:
        trials = partial(_try, near=near, explained=explained)
        fresh = pool.imap(trials, new)
        for number, one in enumerate(chosen, 1):
            if one.key in earlier:
                yield Result(one, earlier[one.key])
                continue
            result = next(fresh)
            if log is not None:
                with log.open("a", encoding="utf-8") as lines:
                    lines.write(f"{result.told}\t{one.key}\n")
            if number % 200 == 0:
                print(f"mutation: {number} of {len(chosen)}", flush=True)
            yield result


def known(log: Path | None) -> Mapping[str, Noticed]:
    """What an earlier run noticed, by the mutant's key."""
    if log is None or not log.exists():
        return {}
    lines = [line.split("\t") for line in log.read_text(encoding="utf-8").splitlines()]
    return {
        key: Noticed("" if told in ("timeout", "import") else told, timed_out=told == "timeout")
        for told, key in lines
        if told != "lives"
    }


def _try(mutant: Mutant, *, near: bool, explained: Mapping[str, str]) -> Result:
    name = module_name(mutant.path)
    noticed = run(Trial(name, mutant.text, nearest(mutant.path), NEAREST_S))
    if noticed is None and not near and mutant.key not in explained:
        noticed = run(Trial(name, mutant.text, WIDE, WIDE_S))
    return Result(mutant, noticed)


if __name__ == "__main__":
    sys.exit(main())
