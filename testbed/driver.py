"""A real daemon, and a client that speaks to it over the wire.

:func:`running` starts it as a process, which can be killed. :func:`in_loop` runs it in the test's
event loop: it starts in a hundredth of the time, and everything but the process is real.
"""

import asyncio
import base64
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import aiohttp

from spsd.config import load
from spsd.daemon import open_daemon
from spsd.limits import Limits
from spsd.testing import simulated
from spsd.testing.daemon import DEFAULTS, PASSWORD, USER, configuration
from testbed.daemons import APPLIANCE, USERS, authority, prepare

FETCH = "/api/firmware/fetch"
LIMITS = Limits(shutdown_s=0.5, linger_s=0.5)
POLL_S = 0.02


@dataclass
class Daemon:
    """One state directory, and at most one daemon process that uses it."""

    root: Path
    fetch: dict[str, object] = field(default_factory=dict)
    slots: dict[str, object] = field(default_factory=dict)
    upgrade: dict[str, object] = field(default_factory=dict)
    server: dict[str, object] = field(default_factory=dict)
    tls: bool = False
    boot_id: str | None = None
    booted_slot: int | None = None
    environ: dict[str, str] = field(default_factory=dict)
    log: Path | None = None
    most_descriptors: int | None = None
    """The hard limit of descriptors, which the daemon cannot raise."""
    users: Mapping[str, str] = field(default_factory=dict)
    process: asyncio.subprocess.Process | None = None
    url: str = ""
    client: aiohttp.ClientSession | None = None

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def config(self) -> Path:
        return self.root / "spsd.toml"

    def configure(self) -> None:
        """Write the configuration file."""
        settings = {
            "server": {"plain_http": not self.tls} | self.server,
            "state": {"directory": str(self.state)},
            "fetch": self.fetch,
            "slots": self.slots,
            "upgrade": self.upgrade,
        }
        self.config.write_text(configuration(DEFAULTS, settings))

    async def set_up(self) -> None:
        """Write the configuration and a database with USERS, faster than the command line does."""
        self.configure()
        await prepare(self.state)
        self.users = USERS

    async def add_user(self, name: str = USER, role: str = "admin") -> None:
        """Add a user with the command line, unless a user of that name and role exists."""
        if self.users.get(name) == role:
            return
        arguments = ("user", "add", name, "--password-stdin", "--role", role)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "spsd", *arguments, "--config", self.config),
            stdin=asyncio.subprocess.PIPE,
        )
        await process.communicate(PASSWORD.encode())
        assert process.returncode == 0

    async def start(self, *point: str) -> None:
        """Start the daemon and wait for its ready line.

        With a ``point``, tests/daemon/crashing.py is the launcher, and the daemon crashes there.
        """
        await self._spawn(*point)
        assert self.process is not None
        assert self.process.stdout is not None
        line = (await self.process.stdout.readline()).decode()
        assert line.startswith("spsd ready on "), line
        self.url = line.split()[-1]

    async def run(self, *point: str) -> int:
        """Start the daemon, wait until it ends, and give its exit status."""
        await self._spawn(*point)
        assert self.process is not None
        return await self.process.wait()

    async def _spawn(self, *point: str) -> None:
        launcher = ("tests.daemon.crashing", *point) if point else ("spsd",)
        # A proxy in the environment of the tests must not be used for origins on loopback.
        environ = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        environ |= self.environ
        if self.boot_id is not None:
            launcher = (simulated.__name__,)
            environ[simulated.BOOT] = self.boot_id
            if self.booted_slot is not None:
                environ[simulated.SLOT] = str(self.booted_slot)
        limited: tuple[str, ...] = ()
        if self.most_descriptors is not None:
            limited = ("sh", "-c", f'ulimit -n {self.most_descriptors}; exec "$@"', "sh")
        with ExitStack() as stack:
            log = None if self.log is None else stack.enter_context(self.log.open("ab"))
            self.process = await asyncio.create_subprocess_exec(
                *limited,
                *(sys.executable, "-m", *launcher, "serve", "--config", self.config),
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                cwd=Path(__file__).parents[1],
                env=environ,
            )

    async def log_in(self, name: str = USER) -> None:
        """Open a client and log in. Sessions survive restarts, so once is enough."""
        jar = aiohttp.CookieJar(unsafe=True)
        # The daemon's certificate is self-signed.
        connector = aiohttp.TCPConnector(ssl=not self.tls)
        self.client = aiohttp.ClientSession(cookie_jar=jar, connector=connector)
        auth = "Basic " + base64.b64encode(f"{name}:{PASSWORD}".encode()).decode()
        async with self.client.get(
            f"{self.url}/api/authentication", headers={"Authorization": auth}
        ) as response:
            assert response.status == 200, await response.text()

    async def call(self, method: str, path: str, **kwargs: object) -> tuple[int, dict]:
        """Send a request; gives the status and the JSON body of the response."""
        assert self.client is not None
        async with self.client.request(method, self.url + path, **kwargs) as response:
            return response.status, await response.json()

    async def submit(self, url: str, sha256: str) -> str:
        """Submit a download; gives its key."""
        status, body = await self.call(
            "POST", FETCH, json={"url": url, "checksum": {"sha256": sha256}}
        )
        assert status == 202, body
        return body["key"]

    async def job(self, key: str) -> dict:
        """The ``body`` of the download's document."""
        status, document = await self.call("GET", f"{FETCH}/{key}")
        assert status == 200, document
        return document["body"]

    async def until(self, key: str, holds: Callable[[dict], bool]) -> dict:
        """Poll the job, as clients do, until ``holds`` is true of its body; gives that body.

        There is no time limit here: pytest's limit for the test applies.
        """
        while not holds(body := await self.job(key)):
            await asyncio.sleep(POLL_S)
        return body

    async def until_caused(self, key: str, cause: str, times: int = 1) -> None:
        """Wait until the job's history has at least ``times`` transitions with that cause."""
        causes: list[str] = []
        while causes.count(cause) < times:
            await asyncio.sleep(POLL_S)
            status, document = await self.call("GET", f"{FETCH}/{key}/history")
            assert status == 200, document
            causes = [line["cause"] for line in document["body"]["history"]]

    async def over(self, key: str) -> dict:
        """Wait until the job is finished, failed or cancelled; gives its body."""
        return await self.until(
            key, lambda body: body["status"] in ("finished", "failed", "cancelled")
        )

    async def kill(self) -> None:
        await self.end(signal.SIGKILL)

    async def stop(self) -> int:
        return await self.end(signal.SIGTERM)

    async def end(self, number: int) -> int:
        """Send the signal, if the process still runs, and give its exit status."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await self.process.wait()

    def staged(self) -> list[str]:
        """The names in the staging directory, sorted."""
        return sorted(path.name for path in (self.state / "staging").iterdir())

    def image(self, slot: int) -> Path:
        return self.state / "slots" / str(slot) / "image"

    def filled(self) -> list[int]:
        """The numbers of the slots that have a directory, sorted."""
        names = (path.name for path in (self.state / "slots").iterdir())
        return sorted(int(name) for name in names if name.isdecimal())

    def memory_peak_mib(self) -> float:
        return self._memory_mib("VmHWM")

    def memory_mib(self) -> float:
        return self._memory_mib("VmRSS")

    def forget_memory_peak(self) -> None:
        """The peak is from now on that since now (proc_pid_clear_refs(5))."""
        assert self.process is not None
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def _memory_mib(self, key: str) -> float:
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith(key))
        return int(line.split()[1]) / 1024

    async def close(self) -> None:
        """Kill the process, if it runs, and close the client."""
        if self.client is not None:
            await self.client.close()
        if self.process is not None:
            await self.end(signal.SIGKILL)
            self.process._transport.close()


@dataclass
class LoopDaemon(Daemon):
    """A daemon in the test's own event loop: it can stop and start again, but not be killed."""

    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _serving: asyncio.Task[None] | None = None

    async def start(self, *point: str) -> None:
        assert not point, "only a process can crash"
        self._stopping.clear()
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._serving = asyncio.create_task(self._serve(ready), name="daemon")
        await asyncio.wait([ready, self._serving], return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            await self._serving
        self.url = ready.result()

    async def _serve(self, ready: asyncio.Future[str]) -> None:
        settings = await asyncio.to_thread(load, self.config)
        appliance = replace(APPLIANCE, booted_slot=self.booted_slot)
        async with open_daemon(settings, appliance=appliance, limits=LIMITS) as daemon:
            ready.set_result(daemon.url)
            await self._stopping.wait()

    async def end(self, number: int) -> int:
        assert number == signal.SIGTERM, "a loop cannot be killed"
        assert self._serving is not None
        self._stopping.set()
        await self._serving
        return 0

    async def close(self) -> None:
        if self.client is not None:
            await self.client.close()
        if self._serving is not None:
            self._stopping.set()
            await asyncio.wait([self._serving])


DaemonT = TypeVar("DaemonT", bound=Daemon)


@asynccontextmanager
async def running(
    root: Path,
    *point: str,
    daemon_type: type[DaemonT] = Daemon,
    by_command: bool = False,
    **settings: object,
) -> AsyncIterator[DaemonT]:
    """A configured daemon with a user, started and logged in; it is ended with the context.

    ``by_command``: the command line makes the database and the user, which is slower, but durable.
    """
    daemon = daemon_type(root, **settings)
    if by_command:
        daemon.configure()
        await daemon.add_user()
    else:
        await daemon.set_up()
    try:
        await daemon.start(*point)
        await daemon.log_in()
        yield daemon
    finally:
        await daemon.close()


def in_loop(root: Path, **settings: object) -> AbstractAsyncContextManager[LoopDaemon]:
    """:func:`running` in the test's own event loop, without a process."""
    own = {"fetch": {"proxy": "", "ca_file": str(authority())} | settings.pop("fetch", {})}
    return running(root, daemon_type=LoopDaemon, **settings | own)
