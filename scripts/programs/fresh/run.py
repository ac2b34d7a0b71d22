"""Run the two commands of README in a minimal Debian, as an ordinary user."""

import argparse
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from scripts.programs.fresh import host as fresh_host

ROOT = Path(__file__).resolve().parents[3]
ENTER = ROOT / "scripts" / "programs" / "fresh" / "enter.sh"
SUITES = ("bookworm", "trixie")
PACKAGES = "python3,python3-venv,git,ca-certificates"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
USER = "newcomer"
HOME = Path("/home") / USER
CHECKOUT = HOME / "spsd"
TAIL = 40
_LAST = re.compile(r"^=*\s*((?:\d+ [a-z]+(?:, )?)+) in [\d.]+s\b", re.MULTILINE)
ISOLATED = (
    *("setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--mount", "--propagation", "private", "--mount-proc"),
    *("--pid", "--fork", "--kill-child"),
)
"""The prefix of a command that gives it namespaces of its own.

Its mounts and processes are not visible outside, and end with it.
"""


class StepError(Exception):
    """A step has failed; ``str()`` is its output, which is also in the log."""


@dataclass
class FreshSystem:
    """A minimal Debian below ``directory``, and the log of all commands."""

    suite: str
    directory: Path
    log: Path
    bare: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    bound: Sequence[Path] = ()

    @property
    def root(self) -> Path:
        return self.directory / self.suite

    def run(self, *command: str | Path, environment: Mapping[str, str] | None = None) -> str:
        """Run a command in namespaces of its own; gives its output, which is also in the log.

        The environment is not logged: the URL of a package index may contain a password.

        Raises:
            StepError: its exit status is not 0.
        """
        with self.log.open("ab") as log:
            log.write(f"$ {' '.join(map(str, command))}\n".encode())
            log.flush()
            start = log.tell()
            process = subprocess.Popen(
                [*ISOLATED, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # only this program gets a Ctrl-C, and ends the command
                env=environment,
            )
            try:
                status = process.wait()
            finally:
                end(process)
        output = self.log.read_bytes()[start:].decode(errors="replace")
        if status:
            raise StepError(output)
        return output

    def run_inside(self, *command: str) -> str:
        """Run a command in the checkout inside of the system, as its ordinary user.

        Raises:
            StepError: its exit status is not 0.
        """
        settings = {
            "HOME": str(HOME),
            "USER": USER,
            "LOGNAME": USER,
            "LANG": "C.UTF-8",
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            **self.environment,
        }
        in_checkout = ("env", f"--chdir={CHECKOUT}")
        bound = [f"{path.resolve()}={path}" for path in self.bound]
        bare = "yes" if self.bare else "no"
        enter = ("bash", ENTER, self.root, USER, bare, *bound, "--")
        return self.run(*enter, *in_checkout, *command, environment=settings)

    def make(self) -> None:
        """Make the system and its user, and copy this machine's settings for packages.

        Raises:
            StepError: a command failed.
        """
        options = [f"--aptopt={line}" for line in fresh_host.apt_options()]
        self.run(
            *("mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", *options),
            *(self.suite, self.root, *fresh_host.sources(self.suite)),
        )
        self.run("chroot", self.root, "useradd", "--create-home", "--shell=/bin/bash", USER)
        hosts = f"127.0.0.1 localhost\n127.0.1.1 {socket.gethostname()}\n::1 localhost\n"
        (self.root / "etc" / "hosts").write_text(hosts, encoding="utf-8")
        shutil.copyfile("/etc/resolv.conf", self.root / "etc" / "resolv.conf")
        pip = fresh_host.pip_settings(fresh_host.pip_files(os.environ, Path.home()))
        with (self.root / "etc" / "pip.conf").open("w", encoding="utf-8") as file:
            pip.write(file)
        self.environment = fresh_host.package_settings(os.environ)
        values = [value for section in pip.sections() for value in dict(pip[section]).values()]
        named = fresh_host.local_paths([*values, *self.environment.values()])
        self.bound = [path for path in named if path.is_dir()]
        for path in (fresh_host.BUNDLE, *(path for path in named if path.is_file())):
            if path.exists():
                copy = self.root / path.relative_to("/")
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)

    def clone(self) -> str:
        """Clone the present commit for the user; gives its short name.

        Raises:
            StepError: a command failed.
        """
        target = self.root / CHECKOUT.relative_to("/")
        self.run("git", "clone", "--quiet", "--no-hardlinks", ROOT, target)
        self.run("chroot", self.root, "chown", "-R", f"{USER}:", CHECKOUT)
        return git("rev-parse", "--short", "HEAD")


def end(process: "subprocess.Popen[bytes]") -> None:
    """Kill a command with all its processes, if it still runs, and wait for their end."""
    if process.poll() is None:
        # The child of unshare is the first process of the namespace: the kernel ends all others
        # with it, and unshare ends after them. If there is no child yet, unshare is killed.
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[0]) if children else process.pid, signal.SIGKILL)
        process.wait()


def git(*arguments: str) -> str:
    """The output of git for the checkout."""
    done = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, check=False)
    return done.stdout.decode().strip()


def counts(output: str) -> str:
    """The counts of pytest, such as ``3,012 passed, 2 failed, 14 skipped``; empty: there are none.

    A run may call pytest more than once; then the counts are added.
    """
    totals: Counter[str] = Counter()
    for line in _LAST.findall(output):
        for number, outcome in re.findall(r"(\d+) ([a-z]+)", line):
            totals[outcome.removesuffix("s")] += int(number)
    order = ("passed", "failed", "error", "skipped")
    return ", ".join(f"{totals[outcome]:,} {outcome}" for outcome in order if totals[outcome])


def missing(user: int, which: Callable[[str], str | None] = shutil.which) -> str | None:
    """The first missing requirement, in one line; None: there is none. ``user`` is the uid."""
    if user != 0:
        return "needs root: it makes a Debian system and enters it"
    tools = {"mmdebstrap": "mmdebstrap", "unshare": "util-linux", "git": "git"}
    for program, package in tools.items():
        if which(program) is None:
            return f"needs {program} (Debian: {package})"
    if not KEYRING.exists():
        return f"needs the keys of Debian's archive, {KEYRING} (Debian: debian-archive-keyring)"
    return None


@dataclass
class Progress:
    """Prints the result of each step and its duration."""

    suite: str
    since: float = field(default_factory=time.monotonic)

    def report(self, result: str, more: str = "") -> None:
        """Print a line, and begin to measure the next step."""
        now = time.monotonic()
        print(f"fresh: {self.suite}: {result}, {now - self.since:.0f} s{more}", flush=True)
        self.since = now


def try_commands(fresh: FreshSystem, arguments: Sequence[str]) -> bool:
    """Make the system and run the two commands in it; whether both pass."""
    progress = Progress(fresh.suite)
    failure = "the root cannot be made"
    try:
        fresh.make()
        progress.report("root made")
        failure = "the checkout cannot be cloned"
        progress.report(f"commit {fresh.clone()} cloned")
        failure = "scripts/demo fails"
        fresh.run_inside("scripts/demo")
        progress.report("scripts/demo passes")
        failure = "scripts/test fails"
        output = fresh.run_inside("scripts/test", *arguments)
        progress.report(f"scripts/test: {counts(output) or 'passes'}")
    except StepError as error:
        output = str(error)
        print("\n".join(output.splitlines()[-TAIL:]))
        result = f"{failure}: {counts(output)}" if counts(output) else failure
        progress.report(result, f"; all output is in {fresh.log}")
        return False
    return True


def try_suite(suite: str, arguments: Sequence[str], *, keep: bool, bare: bool) -> bool:
    """Try one suite; whether both commands pass.

    The system is removed unless ``keep`` is set; the log of a failure stays.
    """
    directory = Path(tempfile.mkdtemp(prefix=f"spsd-fresh-{suite}-"))
    log = directory.with_suffix(".log")
    fresh = FreshSystem(suite, directory, log, bare)
    failed = False
    try:
        failed = not try_commands(fresh, arguments)
    finally:
        if keep:
            print(f"fresh: {suite}: kept: {fresh.root}, {log}", flush=True)
        else:
            # In the namespace of this process nothing is mounted there.
            shutil.rmtree(directory)
            if not failed:
                log.unlink(missing_ok=True)
    return not failed


def main(arguments: Sequence[str] | None = None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    at = given.index("--") if "--" in given else len(given)
    parser = argparse.ArgumentParser(
        prog="scripts/fresh",
        description=f"{__doc__} It has {PACKAGES.replace(',', ', ')}, and their dependencies.",
        epilog="Arguments after -- are passed to scripts/test.",
    )
    parser.add_argument("suite", nargs="?", choices=SUITES, help="the suite (bookworm)")
    parser.add_argument(
        "--all", action="store_true", help="both suites, and every test: scripts/test --all"
    )
    parser.add_argument(
        "--keep", action="store_true", help="do not remove the system; print its directory"
    )
    parser.add_argument(
        "--bare", action="store_true", help="no /dev/pts, and a /dev/shm that only root can write"
    )
    options = parser.parse_args(given[:at])
    requirement = missing(os.geteuid())
    if requirement is not None:
        print(f"fresh: {requirement}", file=sys.stderr)
        return 2
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
    if git("status", "--porcelain"):
        print("fresh: uncommitted changes are not included", flush=True)
    suites = SUITES if options.all and not options.suite else (options.suite or SUITES[0],)
    rest = [*(["--all"] if options.all else []), *given[at + 1 :]]
    passed = [try_suite(suite, rest, keep=options.keep, bare=options.bare) for suite in suites]
    return 0 if all(passed) else 1


def leave(number: int, _frame: FrameType | None) -> None:
    """Signal handler: end with the exit status of the signal, after every `finally`."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
