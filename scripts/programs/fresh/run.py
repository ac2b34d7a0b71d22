"""Run README's two commands in a minimal Debian, as an ordinary user."""

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
APART = (
    *("setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--mount", "--propagation", "private", "--mount-proc"),
    *("--pid", "--fork", "--kill-child"),
)
"""Before a command: what it mounts and starts is seen by nobody else, and ends with it."""


class StepError(Exception):
    """A step has failed; its output is in the log."""


@dataclass
class Fresh:
    """A minimal Debian under ``place``, and the log of what is done with it."""

    suite: str
    place: Path
    log: Path
    bare: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    bound: Sequence[Path] = ()

    @property
    def root(self) -> Path:
        return self.place / self.suite

    def run(self, *command: str | Path, environment: Mapping[str, str] | None = None) -> str:
        """Run it apart from everything else, and give its output, which is in the log, too.

        The environment is not: an index of packages may have a password.

        Raises:
            StepError: it has failed.
        """
        with self.log.open("ab") as log:
            log.write(f"$ {' '.join(map(str, command))}\n".encode())
            log.flush()
            since = log.tell()
            process = subprocess.Popen(
                [*APART, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C is ours
                env=environment,
            )
            try:
                status = process.wait()
            finally:
                end(process)
        output = self.log.read_bytes()[since:].decode(errors="replace")
        if status:
            raise StepError(output)
        return output

    def run_inside(self, *command: str) -> str:
        """Run it in the checkout inside, as its user.

        Raises:
            StepError: it has failed.
        """
        settings = {
            "HOME": str(HOME),
            "USER": USER,
            "LOGNAME": USER,
            "LANG": "C.UTF-8",
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            **self.environment,
        }
        there = ("env", f"--chdir={CHECKOUT}")
        bound = [f"{path.resolve()}={path}" for path in self.bound]
        bare = "yes" if self.bare else "no"
        enter = ("bash", ENTER, self.root, USER, bare, *bound, "--")
        return self.run(*enter, *there, *command, environment=settings)

    def make(self) -> None:
        """The system, its user, and this machine's way to packages."""
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
        self.environment = fresh_host.passed_on(os.environ)
        values = [value for section in pip.sections() for value in dict(pip[section]).values()]
        named = fresh_host.local_paths([*values, *self.environment.values()])
        self.bound = [path for path in named if path.is_dir()]
        for path in (fresh_host.BUNDLE, *(path for path in named if path.is_file())):
            if path.exists():
                copy = self.root / path.relative_to("/")
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)

    def clone(self) -> str:
        """The checkout's commit, for the user; gives its short name."""
        there = self.root / CHECKOUT.relative_to("/")
        self.run("git", "clone", "--quiet", "--no-hardlinks", ROOT, there)
        self.run("chroot", self.root, "chown", "-R", f"{USER}:", CHECKOUT)
        return git("rev-parse", "--short", "HEAD")


def end(process: "subprocess.Popen[bytes]") -> None:
    """Kill what a command has started, if it still runs, and wait until all of it is gone."""
    if process.poll() is None:
        # The first process of the namespace: the kernel ends all others with it, and only then
        # does unshare hear of its end. It may not be there yet; then unshare itself has to go.
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[0]) if children else process.pid, signal.SIGKILL)
        process.wait()


def git(*arguments: str) -> str:
    """What git says of the checkout."""
    done = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, check=False)
    return done.stdout.decode().strip()


def counts(output: str) -> str:
    """Pytest's last lines in the form ``3,012 passed, 2 failed, 14 skipped``; empty: there is none.

    A run may call pytest more than once; then they are added.
    """
    found: Counter[str] = Counter()
    for line in _LAST.findall(output):
        for number, what in re.findall(r"(\d+) ([a-z]+)", line):
            found[what.removesuffix("s")] += int(number)
    order = ("passed", "failed", "error", "skipped")
    return ", ".join(f"{found[what]:,} {what}" for what in order if found[what])


def missing(user: int, which: Callable[[str], str | None] = shutil.which) -> str | None:
    """What this machine lacks, in one line."""
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
class Teller:
    """Prints what each step came to, and how long it took."""

    suite: str
    since: float = field(default_factory=time.monotonic)

    def tell(self, what: str, more: str = "") -> None:
        now = time.monotonic()
        print(f"fresh: {self.suite}: {what}, {now - self.since:.0f} s{more}", flush=True)
        self.since = now


def try_commands(fresh: Fresh, arguments: Sequence[str]) -> bool:
    """Make the system and run the two commands in it; whether both pass."""
    teller = Teller(fresh.suite)
    fails = "the root cannot be made"
    try:
        fresh.make()
        teller.tell("root made")
        fails = "the checkout cannot be cloned"
        teller.tell(f"commit {fresh.clone()} cloned")
        fails = "scripts/demo fails"
        fresh.run_inside("scripts/demo")
        teller.tell("scripts/demo passes")
        fails = "scripts/test fails"
        output = fresh.run_inside("scripts/test", *arguments)
        teller.tell(f"scripts/test: {counts(output) or 'passes'}")
    except StepError as error:
        output = str(error)
        print("\n".join(output.splitlines()[-TAIL:]))
        told = counts(output)
        teller.tell(f"{fails}: {told}" if told else fails, f"; all output is in {fresh.log}")
        return False
    return True


def one(suite: str, arguments: Sequence[str], *, keep: bool, bare: bool) -> bool:
    """Try one suite; leaves nothing behind but the log of a failure, and what is to be kept."""
    place = Path(tempfile.mkdtemp(prefix=f"spsd-fresh-{suite}-"))
    log = place.with_suffix(".log")
    fresh = Fresh(suite, place, log, bare)
    failed = False
    try:
        failed = not try_commands(fresh, arguments)
    finally:
        if keep:
            print(f"fresh: {suite}: kept: {fresh.root}, {log}", flush=True)
        else:
            # Nothing is ever mounted there as this process sees it.
            shutil.rmtree(place)
            if not failed:
                log.unlink(missing_ok=True)
    return not failed


def main(arguments: Sequence[str] | None = None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    at = given.index("--") if "--" in given else len(given)
    parser = argparse.ArgumentParser(
        prog="scripts/fresh",
        description=f"{__doc__} It has {PACKAGES.replace(',', ', ')}, and what they need.",
        epilog="What comes after -- goes to scripts/test.",
    )
    parser.add_argument("suite", nargs="?", choices=SUITES, help="bookworm, if none is given")
    parser.add_argument(
        "--all", action="store_true", help="both suites, and every test: scripts/test --all"
    )
    parser.add_argument("--keep", action="store_true", help="leave the root there, and say where")
    parser.add_argument(
        "--bare", action="store_true", help="no /dev/pts, and a /dev/shm that only root can write"
    )
    options = parser.parse_args(given[:at])
    lacks = missing(os.geteuid())
    if lacks is not None:
        print(f"fresh: {lacks}", file=sys.stderr)
        return 2
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
    if git("status", "--porcelain"):
        print("fresh: the changes that are not committed are not tried", flush=True)
    suites = SUITES if options.all and not options.suite else (options.suite or SUITES[0],)
    rest = [*(["--all"] if options.all else []), *given[at + 1 :]]
    passed = [one(suite, rest, keep=options.keep, bare=options.bare) for suite in suites]
    return 0 if all(passed) else 1


def leave(number: int, _frame: FrameType | None) -> None:
    """End as by a signal, by way of every `finally`."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
