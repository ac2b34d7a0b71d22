"""A daemon of one's own: a real spsd in a process and a directory of its own."""

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
PASSWORD: Final = "correct horse"  # noqa: S105 - known to everybody, of a daemon on loopback
START_LIMIT_S: Final = 120.0

Tables = Mapping[str, Mapping[str, object]]

DEFAULTS: Final[Tables] = {
    "server": {"host": "127.0.0.1", "port": 0, "plain_http": True},
    "fetch": {"allow": ["127.0.0.0/8"], "backoff_initial_s": 0.05, "backoff_limit_s": 0.2},
}
"""What a test wants: loopback for both sides, and short waits between attempts."""


@dataclass
class DaemonProcess:
    """One state directory under `root`, and at most one process that works in it.

    `settings` are tables of spsd.toml, put over `DEFAULTS`; `launcher` is the module that is run,
    and `environ` is added to the environment. What the daemon logs goes to `root/daemon.log`.
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
        """Configure, add the user, and start."""
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
        """What the daemon has logged, over all of its processes."""
        return self.root / "daemon.log"

    @property
    def pid(self) -> int | None:
        """The process that runs now; None: none does."""
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
        """Add an account, as an operator does.

        Raises:
            subprocess.CalledProcessError: the command line says no.
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
        """Start, and wait for the ready line, which has the URL.

        Raises:
            RuntimeError: no such line came; what the daemon said instead is in the message.
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
            said = self.log.read_text(encoding="utf-8")[-2000:]
            raise RuntimeError(f"the daemon is not ready: {line!r}; {self.log} ends with:\n{said}")
        self.url = line.split()[-1]

    def spawn(self) -> None:
        """Start, and wait for nothing."""
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
        """End the process at once (SIGKILL); harmless when none runs."""
        self._end(signal.SIGKILL)
        self._release()

    def stop(self) -> int | None:
        """Ask the process to stop (SIGTERM) and wait for it: its exit code; None: none ran."""
        code = self._end(signal.SIGTERM)
        self._release()
        return code

    def restart(self) -> None:
        """Stop politely and start again."""
        self.stop()
        self.start()

    def reboot(self, boot: str, *, slot: int | None = None) -> None:
        """Kill the process, and start it in another boot of a simulated appliance.

        `boot` names the boot; `slot` is what the kernel's command line says, None: nothing. The
        disk is not cut: this is a reboot, and no loss of power.
        """
        self.kill()
        self.boot, self.booted_slot = boot, slot
        self.start()

    def set_clock(self, offset_s: int) -> None:
        """Let the daemon's clock differ by this from now on; not before a simulated start.

        It is the clock of jobs and sessions. Waits go by another one, and take as long as ever.
        """
        self.clock_offset_s = offset_s
        simulated.set_clock(self._clock, offset_s)

    def client(self, user: str | None = USER, password: str = PASSWORD) -> Client:
        """A client of the daemon, logged in unless `user` is None.

        Raises:
            RuntimeError: the log-in is refused.
        """
        context = None
        if self.url.startswith("https:"):
            context = ssl.create_default_context(cafile=self.state / "tls" / "certificate.pem")
        client = Client(self.url, context=context)
        if user is not None and (answer := client.log_in(user, password)).status != 200:
            raise RuntimeError(f"{user} cannot log in: {answer.status} {answer.content!r}")
        return client

    def slot_image(self, slot: int) -> Path:
        """Where the image in that slot is, if there is one."""
        return self.state / "slots" / str(slot) / "image"

    def staged(self) -> list[str]:
        """The names of what is being received: a digest, or `upload-…`."""
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
        # A proxy of whoever runs the tests has nothing to say to origins on loopback.
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
            return "[" + ", ".join(_toml(one) for one in value) + "]"
        case _:
            return str(value)
