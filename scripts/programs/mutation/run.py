"""Makes one small change to the rules at a time, and reports the changes that no test notices."""

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
    "spsd/storage/faults.py::APPLICATION_ID,DatabaseFault,MEANING,ADVICE,DatabaseError",
    "spsd/storage/inspection.py::Inspection,judge_database",
    "spsd/system/host.py::Load,CpuTime,BOOT,busy_percent,HostName,host_name,search_domain",
    "spsd/system/program_outcome.py",
    "spsd/transfer/rules",
    "spsd/transfer/ports.py::StagingKey,_UUID,_KEY,download_key,upload_key,parse_staging_key,Progress",
    "spsd/transfer/http/tls.py::Validity,time_evidence,_formatted,_parsed",
    "spsd/transfer/worker.py::coalesce",
    "spsd/slots/model.py",
    "spsd/slots/boot.py",
    "spsd/slots/checks.py",
    "spsd/slots/integrity.py::IntegrityStatus,IntegrityReport,judge",
    "spsd/jobs/lifecycle.py",
    "spsd/jobs/job.py",
    "spsd/jobs/start_spread.py",
    "spsd/jobs/recovery.py",
    "spsd/jobs/sqlite.py",
    "spsd/accounts/model.py",
    "spsd/web/connections/slow_clients.py",
    "spsd/doctor/rules.py",
)
"""The rules: folders, files, and single names of files that also contain other code."""
DOCUMENT = ROOT / "docs" / "mutation.md"
NEAREST_S, WIDE_S = 120, 300
WORKERS = 2


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/mutation", description=__doc__)
    parser.add_argument("paths", nargs="*", default=PATHS, help="files or folders of spsd")
    parser.add_argument("--sample", type=int, default=0, metavar="N", help="only N mutants")
    parser.add_argument("--near", action="store_true", help="only the tests nearest to a module")
    parser.add_argument("--list", action="store_true", help="print the mutants, run nothing")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/mutation.md")
    parser.add_argument(
        "--log",
        type=Path,
        metavar="FILE",
        help="append each result; mutants that an earlier run has logged as noticed are skipped",
    )
    options = parser.parse_args(arguments)
    every = mutants_of(options.paths)
    chosen = sample(every, options.sample)
    if options.list:
        print(*(f"{mutant.path}:{mutant.line}: {mutant.key}" for mutant in chosen), sep="\n")
        return 0
    explained = reasons()
    results = list(tried(chosen, explained, near=options.near, log=options.log))
    unexplained = [
        result.mutant
        for result in results
        if result.noticed is None and result.mutant.key not in explained
    ]
    print(*by_module(results), sep="\n")
    for mutant in unexplained:
        print(f"mutation: not noticed: {mutant.path}:{mutant.line}: {mutant.key}")
    if options.write:
        text = DOCUMENT.read_text(encoding="utf-8")
        for name, lines in (("rules", by_rule(results)), ("score", by_module(results))):
            text = renewed(text, name, "\n".join(lines))
        text = renewed(text, "summary", f"`{summary(results, len(unexplained))}`")
        DOCUMENT.write_text(text, encoding="utf-8")
    print(summary(results, len(unexplained)))
    return 1 if unexplained else 0


def mutants_of(paths: Iterable[str]) -> Sequence[Mutant]:
    """Every mutant of the files below ``paths``; of ``FILE::NAME,NAME`` those of these names."""
    collected: list[Mutant] = []
    for path in paths:
        place, _, names = path.partition("::")
        for file in files(place):
            collected += mutants(ROOT, file, names.split(",") if names else None)
    return collected


def files(path: str) -> Sequence[str]:
    """The modules below ``path``, relative to the root of the project."""
    place = ROOT / path
    modules = sorted(place.glob("*.py")) if place.is_dir() else [place]
    return [str(module.relative_to(ROOT)) for module in modules]


def tried(
    chosen: Sequence[Mutant], explained: Mapping[str, str], *, near: bool, log: Path | None
) -> Iterator[Result]:
    """The results of the mutants, in their order.

    Each is tried with the tests nearest to it, and a mutant that survives also with all the others.
    For an explained mutant, and with ``near``, only the nearest tests are run.
    """
    earlier = known(log)
    new = [mutant for mutant in chosen if mutant.key not in earlier]
    warm_up()
    with multiprocessing.get_context("fork").Pool(WORKERS) as pool:
        trials = partial(_try, near=near, explained=explained)
        fresh = pool.imap(trials, new)
        for number, mutant in enumerate(chosen, 1):
            if mutant.key in earlier:
                yield Result(mutant, earlier[mutant.key])
                continue
            result = next(fresh)
            if log is not None:
                with log.open("a", encoding="utf-8") as lines:
                    lines.write(f"{result.outcome}\t{mutant.key}\n")
            if number % 200 == 0:
                print(f"mutation: {number} of {len(chosen)}", flush=True)
            yield result


def known(log: Path | None) -> Mapping[str, Noticed]:
    """The mutants that an earlier run has logged as noticed, by their keys."""
    if log is None or not log.exists():
        return {}
    lines = [line.split("\t") for line in log.read_text(encoding="utf-8").splitlines()]
    return {
        key: Noticed(
            "" if outcome in ("timeout", "import") else outcome, timed_out=outcome == "timeout"
        )
        for outcome, key in lines
        if outcome != "survives"
    }


def _try(mutant: Mutant, *, near: bool, explained: Mapping[str, str]) -> Result:
    name = module_name(mutant.path)
    noticed = run(Trial(name, mutant.text, nearest(mutant.path), NEAREST_S))
    if noticed is None and not near and mutant.key not in explained:
        noticed = run(Trial(name, mutant.text, WIDE, WIDE_S))
    return Result(mutant, noticed)


if __name__ == "__main__":
    sys.exit(main())
