"""A real daemon as a real process, and a client that speaks to it over the wire."""

import asyncio
import base64
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import aiohttp

from spsd.testing import simulated
from spsd.testing.daemon import DEFAULTS, PASSWORD, USER, configuration

FETCH = "/api/firmware/fetch"
POLL_S = 0.02


@dataclass
class Daemon:
    """One state directory, and at most one process that works in it."""

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
        settings = {
            "server": {"plain_http": not self.tls} | self.server,
            "state": {"directory": str(self.state)},
            "fetch": self.fetch,
            "slots": self.slots,
            "upgrade": self.upgrade,
        }
        self.config.write_text(configuration(DEFAULTS, settings))

    async def add_user(self, name: str = USER, role: str = "admin") -> None:
        arguments = ("user", "add", name, "--password-stdin", "--role", role)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "spsd", *arguments, "--config", self.config),
            stdin=asyncio.subprocess.PIPE,
        )
        await process.communicate(PASSWORD.encode())
        assert process.returncode == 0

    async def start(self, *point: str) -> None:
        """Start, through the crashing launcher if a point is named, and wait for the ready line."""
        await self._spawn(*point)
        assert self.process is not None
        assert self.process.stdout is not None
        line = (await self.process.stdout.readline()).decode()
        assert line.startswith("spsd ready on "), line
        self.url = line.split()[-1]

    async def run(self, *point: str) -> int:
        """Start and wait for the end, whatever it is."""
        await self._spawn(*point)
        assert self.process is not None
        return await self.process.wait()

    async def _spawn(self, *point: str) -> None:
        launcher = ("tests.daemon.crashing", *point) if point else ("spsd",)
        # A proxy of whoever runs the tests has nothing to say to origins on loopback.
        environ = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        environ |= self.environ
        if self.boot_id is not None:
            launcher = (simulated.__name__,)
            environ[simulated.BOOT] = self.boot_id
            if self.booted_slot is not None:
                environ[simulated.SLOT] = str(self.booted_slot)
        with ExitStack() as stack:
            log = None if self.log is None else stack.enter_context(self.log.open("ab"))
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", *launcher, "serve", "--config", self.config),
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                cwd=Path(__file__).parents[2],
                env=environ,
            )

    async def log_in(self, name: str = USER) -> None:
        """Once; sessions survive every restart, so the cookie stays good."""
        jar = aiohttp.CookieJar(unsafe=True)
        # Its certificate is its own.
        connector = aiohttp.TCPConnector(ssl=not self.tls)
        self.client = aiohttp.ClientSession(cookie_jar=jar, connector=connector)
        auth = "Basic " + base64.b64encode(f"{name}:{PASSWORD}".encode()).decode()
        async with self.client.get(
            f"{self.url}/api/authentication", headers={"Authorization": auth}
        ) as response:
            assert response.status == 200, await response.text()

    async def call(self, method: str, path: str, **kwargs: object) -> tuple[int, dict]:
        assert self.client is not None
        async with self.client.request(method, self.url + path, **kwargs) as response:
            return response.status, await response.json()

    async def submit(self, url: str, sha256: str) -> str:
        status, body = await self.call(
            "POST", FETCH, json={"url": url, "checksum": {"sha256": sha256}}
        )
        assert status == 202, body
        return body["key"]

    async def job(self, key: str) -> dict:
        status, document = await self.call("GET", f"{FETCH}/{key}")
        assert status == 200, document
        return document["body"]

    async def until(self, key: str, holds: Callable[[dict], bool]) -> dict:
        """Poll the job, as clients do, until something holds; pytest limits a vain wait."""
        while not holds(body := await self.job(key)):
            await asyncio.sleep(POLL_S)
        return body

    async def moved_by(self, key: str, cause: str, times: int = 1) -> None:
        """Wait until the job's history has so many lines with that cause."""
        causes: list[str] = []
        while causes.count(cause) < times:
            await asyncio.sleep(POLL_S)
            status, document = await self.call("GET", f"{FETCH}/{key}/history")
            assert status == 200, document
            causes = [line["cause"] for line in document["body"]["history"]]

    async def over(self, key: str) -> dict:
        return await self.until(
            key, lambda body: body["status"] in ("finished", "failed", "cancelled")
        )

    async def kill(self) -> None:
        await self.end(signal.SIGKILL)

    async def stop(self) -> int:
        return await self.end(signal.SIGTERM)

    async def end(self, number: int) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await self.process.wait()

    def staged(self) -> list[str]:
        return sorted(path.name for path in (self.state / "staging").iterdir())

    def image(self, slot: int) -> Path:
        return self.state / "slots" / str(slot) / "image"

    def filled(self) -> list[int]:
        names = (path.name for path in (self.state / "slots").iterdir())
        return sorted(int(name) for name in names if name.isdecimal())

    def memory_peak_mib(self) -> float:
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024


DaemonT = TypeVar("DaemonT", bound=Daemon)


@asynccontextmanager
async def running(
    root: Path, *point: str, daemon_type: type[DaemonT] = Daemon, **settings: object
) -> AsyncIterator[DaemonT]:
    """A configured daemon with a user, started and logged in; ended whatever happens."""
    daemon = daemon_type(root, **settings)
    daemon.configure()
    await daemon.add_user()
    try:
        await daemon.start(*point)
        await daemon.log_in()
        yield daemon
    finally:
        if daemon.client is not None:
            await daemon.client.close()
        if daemon.process is not None:
            await daemon.end(signal.SIGKILL)
            daemon.process._transport.close()
