"""Seeds one known defect at a time in a copy of the project, and runs tests that must fail."""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
COPIED = ("spsd", "tests", "scripts", "migrations", "docs", "pyproject.toml", "README.md")
MACHINE = "tests/daemon/test_machine.py"
LIMIT_S = 600


@dataclass(frozen=True)
class Mutant:
    """A defect: `new` replaces `old` in `path`; one of `tests` must fail."""

    name: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...]


TABLE, JOBS = "spsd/jobs/lifecycle.py", "spsd/jobs/sqlite.py"
RECOVERY, SLOTS = "spsd/jobs/recovery.py", "spsd/slots/service.py"
FETCHING, ACCOUNTS = "spsd/jobs/service.py", "spsd/accounts/service.py"
OF_TABLE = ("tests/jobs/test_lifecycle.py",)
OF_JOBS = ("tests/jobs/test_sqlite.py",)
OF_RECOVERY = ("tests/jobs/test_recovery.py",)
OF_RESUME = (
    "tests/transfer/rules/test_resume.py",
    "tests/transfer/rules/test_resume_properties.py",
)
MUTANTS = (
    Mutant(
        "a polite stop fails the job",
        TABLE,
        '"trigger": Trigger.STOP, "source": _ACTIVE, "dest": JobState.QUEUED',
        '"trigger": Trigger.STOP, "source": _ACTIVE, "dest": JobState.FAILED',
        OF_TABLE,
    ),
    Mutant(
        "a running download cannot be cancelled",
        TABLE,
        '"trigger": Trigger.CANCEL, "source": JobState.DOWNLOADING, "dest": JobState.CANCELLED',
        '"trigger": Trigger.CANCEL, "source": JobState.INSTALLING, "dest": JobState.CANCELLED',
        OF_TABLE,
    ),
    Mutant(
        "a crash fails the job",
        TABLE,
        '"dest": JobState.QUEUED,\n        "conditions": _RETRY,',
        '"dest": JobState.FAILED,\n        "conditions": _RETRY,',
        OF_TABLE,
    ),
    Mutant(
        "the UPDATE does not check the state",
        JOBS,
        "key = :key AND state = :guard_state AND attempt = :guard_attempt\nRETURNING",
        "key = :key AND attempt = :guard_attempt\nRETURNING",
        (*OF_JOBS, "tests/jobs/test_scheduler.py"),
    ),
    Mutant(
        "the UPDATE does not check the attempt",
        JOBS,
        "AND state = :guard_state AND attempt = :guard_attempt\nRETURNING",
        "AND state = :guard_state\nRETURNING",
        (*OF_JOBS, "tests/jobs/test_scheduler.py"),
    ),
    Mutant(
        "the DELETE does not check the state",
        JOBS,
        "key = ? AND state = ? AND attempt = ? RETURNING",
        "key = ? AND ? <> '' AND attempt = ? RETURNING",
        OF_JOBS,
    ),
    Mutant(
        "a failed job's partial is removed at a restart",
        JOBS,
        "OR state = 'failed' AND",
        "OR 0 AND",
        OF_JOBS,
    ),
    Mutant(
        "recovery empties staging before it recovers the jobs",
        RECOVERY,
        "    held = await slots.slots()\n",
        "    held = await slots.slots()\n    for key in await staging.keys():\n"
        "        await staging.discard(key)\n",
        OF_RECOVERY,
    ),
    Mutant(
        "recovery does not check the slots",
        RECOVERY,
        "content = held.get(job.slot) if job.slot is not None else None",
        "content = None",
        OF_RECOVERY,
    ),
    Mutant(
        "recovery takes any image in the slot for that of the job",
        RECOVERY,
        "and (content.sha256, content.job) == (job.sha256, job.key)",
        "and content.sha256 is not None",
        OF_RECOVERY,
    ),
    Mutant(
        "recovery does not remove orphaned partials",
        RECOVERY,
        "if key not in resumable:",
        "if key in ():",
        OF_RECOVERY,
    ),
    Mutant(
        "a part of another object is appended",
        "spsd/transfer/rules/response.py",
        "_part_where(lambda exchange, _: exchange.validator_match is ValidatorMatch.NO)",
        "_part_where(lambda exchange, _: exchange.validator_match is None)",
        OF_RESUME,
    ),
    Mutant(
        "a response with the whole object fails the job",
        "spsd/transfer/rules/response.py",
        'restart_with_body("the origin sent the whole object, not a part")',
        'reject_permanently(FailureCode.PROTOCOL, lambda _: "all of it")',
        OF_RESUME,
    ),
    Mutant(
        "the response to a submission is sent before the row is written",
        FETCHING,
        "await self._jobs.add(job)",
        "self.added = __import__('asyncio').ensure_future(self._jobs.add(job))",
        ("tests/daemon/test_crash.py",),
    ),
    Mutant(
        "a cancel does not remove the partial",
        FETCHING,
        "                await self._scheduler.drop(job)\n",
        "",
        ("tests/jobs/test_scheduler.py", "tests/daemon/test_cancel.py"),
    ),
    Mutant(
        "an IPv4 address inside a NAT64 address is not judged",
        "spsd/transfer/rules/address.py",
        '"64:ff9b::/96"',
        '"64:ff9b:2::/96"',
        ("tests/transfer/rules/test_address.py",),
    ),
    Mutant(
        "a renewed certificate has another key",
        "spsd/system/certificate.py",
        "private = _usable_key(key_pem)",
        "private = None",
        ("tests/system/test_certificate.py",),
    ),
    Mutant(
        "a command migrates the database of a running daemon",
        "spsd/storage/migrations.py",
        "            with state.locked():\n                migrate(",
        "            if True:\n                migrate(",
        ("tests/storage/test_migrations.py",),
    ),
    Mutant(
        "SIGHUP has its default action until the event loop runs",
        "spsd/__main__.py",
        "    remember_hangup()\n",
        "",
        ("tests/daemon/test_signals.py",),
    ),
    Mutant(
        "the slot that runs now can be emptied",
        SLOTS,
        "if slot == self.current:",
        "if slot is self:",
        ("tests/web/test_slots.py", "tests/daemon/test_boot.py"),
    ),
    Mutant(
        "a session never expires",
        ACCOUNTS,
        "self.limits.remaining_s(stored, now=now) <= 0:",
        "self.limits.remaining_s(stored, now=now) <= -(10**9):",
        ("tests/accounts/test_service.py",),
    ),
    Mutant(
        "a session ends when the clock is set back",
        "spsd/accounts/model.py",
        "idle = max(0, now - stored.seen_at)",
        "idle = abs(now - stored.seen_at)",
        ("tests/accounts/test_service.py",),
    ),
    Mutant(
        "the job is finished before the image is installed",
        "spsd/jobs/run.py",
        "        await resources.slots.install(job.slot, image, self._key)\n"
        "        await self._move(job.installed(now=resources.now()))\n",
        "        await self._move(job.installed(now=resources.now()))\n"
        "        await resources.slots.install(job.slot, image, self._key)\n",
        ("tests/jobs/test_run.py", "tests/daemon/test_crash.py"),
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/mutants", description=__doc__)
    parser.add_argument(
        "--only", default="", metavar="WORD", help="only the defects whose name contains WORD"
    )
    parser.add_argument("--machine", action="store_true", help="only run the state machine test")
    options = parser.parse_args(arguments)
    chosen = [mutant for mutant in MUTANTS if options.only in mutant.name]
    noticed = 0
    for mutant in chosen:
        by = noticed_by(mutant, (MACHINE,) if options.machine else mutant.tests)
        noticed += by is not None
        print(f"{mutant.name}: {by or 'NOT NOTICED'}", flush=True)
    print(f"{noticed} of {len(chosen)} mutants were noticed")
    return 0 if noticed == len(chosen) else 1


def noticed_by(mutant: Mutant, tests: Sequence[str]) -> str | None:
    """The first test that fails with the defect, with its reason; None: all pass."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as directory:
        copy = Path(directory)
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy / name)
        text = (copy / mutant.path).read_text(encoding="utf-8")
        if text.count(mutant.old) != 1:
            raise SystemExit(f"{mutant.path} has {text.count(mutant.old)} times: {mutant.old}")
        (copy / mutant.path).write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
        return _first_failure(copy, tests)


def _first_failure(copy: Path, tests: Sequence[str]) -> str | None:
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests],
        cwd=copy,
        # So that the tests, and the processes that they start, import the copy.
        env=os.environ | {"PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )
    if run.returncode == 0:
        return None
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", run.stdout, re.MULTILINE)
    if run.returncode != 1 or not failed:
        raise SystemExit(f"the tests did not run:\n{run.stdout}{run.stderr}")
    reason = re.search(r"^E +(?:\S+: )?(.{1,200})", run.stdout, re.MULTILINE)
    return f"{failed[0]}: {reason[1] if reason else 'no reason'}"


if __name__ == "__main__":
    sys.exit(main())
