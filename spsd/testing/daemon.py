"""A real spsd daemon for a test, in its own process and its own directory."""

import os
import select
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from spsd.testing import simulated
from spsd.testing.client import Client

USER: Final = "operator"
PASSWORD: Final = "correct horse"  # noqa: S105 - public, for test daemons on loopback
START_LIMIT_S: Final = 120.0

Tables = Mapping[str, Mapping[str, object]]

DEFAULTS: Final[Tables] = {
    "server": {"host": "127.0.0.1", "port": 0, "plain_http": True},
    "fetch": {"allow": ["127.0.0.0/8"], "backoff_initial_s": 0.05, "backoff_limit_s": 0.2},
}
"""Settings for tests: the daemon and its origins on loopback, and short waits between attempts."""


@dataclass
class DaemonProcess:
    """One state directory under `root`, and at most one daemon process that uses it.

    `settings` are tables of spsd.toml that override `DEFAULTS`; `launcher` is the module that is
    run, and `environ` is added to the environment. The daemon logs to `root/daemon.log`. `boot`
    and `booted_slot` simulate an appliance: see `reboot`.
    """

    root: Path
    settings: Tables = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)
    launcher: str = "spsd"
    url: str = ""
    clock_offset_s: int = 0
    boot: str | None = None
    booted_slot: int | None = None
    _process: "subprocess.Popen[str] | None" = field(default=None, init=False, repr=False)

    def __enter__(self) -> Self:
        """Write the configuration, add `USER`, and start the daemon."""
        self.configure()
        self.add_user()
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()

    @property
    def state(self) -> Path:
        """The state directory: database, staging, slots."""
        return self.root / "state"

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.root / "spsd.toml"

    @property
    def log(self) -> Path:
        """The log file, which all processes of this daemon append to."""
        return self.root / "daemon.log"

    @property
    def pid(self) -> int | None:
        """The process id of the running daemon; None: it does not run."""
        if self._process is None or self._process.poll() is not None:
            return None
        return self._process.pid

    def configure(self) -> None:
        """Write spsd.toml."""
        self.config.write_text(
            configuration({"state": {"directory": str(self.state)}}, DEFAULTS, self.settings),
            encoding="utf-8",
        )

    def add_user(self, name: str = USER, password: str = PASSWORD, *, role: str = "admin") -> None:
        """Add an account with the command `spsd user add`, as an operator does.

        Raises:
            subprocess.CalledProcessError: The command failed; its attribute `stderr` says why.
        """
        arguments = ("user", "add", name, "--password-stdin", "--role", role)
        subprocess.run(
            [sys.executable, "-m", "spsd", *arguments, "--config", str(self.config)],
            input=password,
            text=True,
            check=True,
            capture_output=True,
            env=self._environment(),
        )

    def start(self, *, limit_s: float = START_LIMIT_S) -> None:
        """Start the daemon and wait for its ready line, which sets `url`.

        Raises:
            RuntimeError: The daemon already runs, or printed no ready line within `limit_s`
                seconds; then the message has its output and the end of its log.
        """
        self.spawn()
        deadline = time.monotonic() + limit_s
        process = self._process
        if process is None or process.stdout is None:
            raise RuntimeError("the daemon has no standard output")
        ready, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
        line = process.stdout.readline() if ready else ""
        if not line.startswith("spsd ready on "):
            self.kill()
            log_end = self.log.read_text(encoding="utf-8")[-2000:]
            raise RuntimeError(
                f"the daemon is not ready: {line!r}; {self.log} ends with:\n{log_end}"
            )
        self.url = line.split()[-1]

    def spawn(self) -> None:
        """Start the daemon without waiting until it is ready.

        Raises:
            RuntimeError: The daemon already runs.
        """
        if self.pid is not None:
            raise RuntimeError(f"a daemon runs already in {self.root}, process {self.pid}")
        self._release()
        with self.log.open("a", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._launcher(), "serve", "--config", str(self.config)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=self._environment(),
            )

    def kill(self) -> None:
        """End the process at once (SIGKILL); no effect if none runs."""
        self._end(signal.SIGKILL)
        self._release()

    def stop(self) -> int | None:
        """Stop the process gracefully (SIGTERM) and wait for it.

        Returns its exit code, or None if no process was started.
        """
        code = self._end(signal.SIGTERM)
        self._release()
        return code

    def restart(self) -> None:
        """Stop the daemon gracefully and start it again."""
        self.stop()
        self.start()

    def reboot(self, boot: str, *, slot: int | None = None) -> None:
        """Kill the process and start it again in another boot of a simulated appliance.

        `boot` is the boot id of the kernel; `slot` is the slot that the kernel's command line
        names, None: it names none. No data is lost: this simulates a reboot, not a power cut.
        """
        self.kill()
        self.boot, self.booted_slot = boot, slot
        self.start()

    def set_clock(self, offset_s: int) -> None:
        """Shift the clock of jobs and sessions by this offset; waits keep their real length.

        The daemon must have been started simulated: call this once before `start`, with 0 for
        example, or set `boot`. Later calls change the clock of the running daemon.
        """
        self.clock_offset_s = offset_s
        simulated.set_clock(self._clock, offset_s)

    def client(self, user: str | None = USER, password: str = PASSWORD) -> Client:
        """A client of the daemon, logged in unless `user` is None.

        Raises:
            RuntimeError: The daemon refused the log-in.
        """
        context = None
        if self.url.startswith("https:"):
            context = ssl.create_default_context(cafile=self.state / "tls" / "certificate.pem")
        client = Client(self.url, context=context)
        if user is not None and (answer := client.log_in(user, password)).status != 200:
            raise RuntimeError(f"{user} cannot log in: {answer.status} {answer.content!r}")
        return client

    def slot_image(self, slot: int) -> Path:
        """The path of the image in that slot; the file exists if the slot holds an image."""
        return self.state / "slots" / str(slot) / "image"

    def staged(self) -> list[str]:
        """The names of the partial downloads and uploads: a SHA-256 digest, or `upload-…`."""
        return sorted(path.name for path in (self.state / "staging").iterdir())

    @property
    def _clock(self) -> Path:
        return self.root / "clock"

    @property
    def _is_simulated(self) -> bool:
        return self.boot is not None or self._clock.exists()

    def _launcher(self) -> str:
        return simulated.__name__ if self._is_simulated else self.launcher

    def _environment(self) -> dict[str, str]:
        # A proxy from the environment of the tests must not be used for origins on loopback.
        environ = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        if self._clock.exists():
            environ[simulated.CLOCK] = str(self._clock)
        if self.boot is not None:
            environ[simulated.BOOT] = self.boot
        if self.booted_slot is not None:
            environ[simulated.SLOT] = str(self.booted_slot)
        return environ | dict(self.environ)

    def _end(self, number: signal.Signals) -> int | None:
        if self._process is None:
            return None
        if self._process.poll() is None:
            self._process.send_signal(number)
        return self._process.wait()

    def _release(self) -> None:
        if self._process is not None and self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None


def configuration(*layers: Tables) -> str:
    """The tables as TOML; a later layer's settings replace those of an earlier one."""
    merged: dict[str, dict[str, object]] = {}
    for layer in layers:
        for table, settings in layer.items():
            merged.setdefault(table, {}).update(settings)
    lines: list[str] = []
    for table, settings in merged.items():
        lines += [f"[{table}]", *(f"{name} = {_toml(value)}" for name, value in settings.items())]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case list() | tuple():
            return "[" + ", ".join(_toml(item) for item in value) + "]"
        case _:
            return str(value)
