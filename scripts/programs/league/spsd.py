"""spsd in the league: a real daemon over REST.

Other tools start with a prepared partial file; spsd makes its own, and is killed at that length.
"""

import asyncio
import hashlib
import signal
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp

from scripts.programs.league.cases import PATH, STALL_S, Case
from scripts.programs.league.peers import LIMIT_S, SEND_BUFFER
from scripts.programs.league.table import Result, Run, result_of
from spsd.testing.origin import CutAfter, Hang, Origin
from spsd.transfer.rules.request import WINDOWS

_PASSWORD: Final = "correct horse"
_FETCH: Final = "/api/firmware/fetch"
_POLL_S: Final = 0.05
_START_S: Final = 30.0
_CONFIG: Final = """\
[server]
host = "127.0.0.1"
port = 0
plain_http = true
[state]
directory = "{state}"
[slots]
count = 99
accept = "any"
[fetch]
allow = ["127.0.0.0/8"]
concurrent = 64
connections = 1
connect_timeout_s = 5
minimum_bytes_per_s = 1024
stall_window_s = {stall_window_s}
attempts = 3
backoff_initial_s = 0.2
backoff_limit_s = 1
"""


class PreparationError(Exception):
    """The daemon or a partial download could not be prepared; ``str()`` is the reason."""


@dataclass
class _Daemon:
    """One state directory, and at most one daemon process that uses it."""

    directory: Path
    process: asyncio.subprocess.Process | None = None
    base: str = ""
    cookies: dict[str, str] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        return self.directory / "spsd.toml"

    def configure(self, *, stall_window_s: float) -> None:
        self.directory.mkdir(exist_ok=True)
        state = self.directory / "state"
        text = _CONFIG.format(state=state, stall_window_s=stall_window_s)
        self.config.write_text(text, encoding="utf-8")

    async def add_user(self) -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "spsd", "user", "add", "league", "--password-stdin"),
            *("--config", str(self.config)),
            stdin=asyncio.subprocess.PIPE,
        )
        await process.communicate(_PASSWORD.encode())
        if process.returncode != 0:
            raise PreparationError("`spsd user add` failed")

    async def start(self) -> None:
        with (self.directory / "log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "spsd", "serve", "--config", str(self.config)),
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        if self.process.stdout is None:
            raise PreparationError("the daemon has no output")
        async with asyncio.timeout(_START_S):
            line = (await self.process.stdout.readline()).decode()
        if not line.startswith("spsd ready on "):
            raise PreparationError(f"the daemon did not get ready; its output is {line!r}")
        self.base = line.split()[-1]

    async def kill(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)
            await self.process.wait()

    async def log_in(self) -> None:
        credentials = b64encode(f"league:{_PASSWORD}".encode()).decode()
        async with (
            aiohttp.ClientSession() as client,
            client.get(
                f"{self.base}/api/authentication", headers={"Authorization": f"Basic {credentials}"}
            ) as response,
        ):
            response.raise_for_status()
            self.cookies = {name: morsel.value for name, morsel in response.cookies.items()}

    async def call(self, method: str, path: str, content: object = None) -> dict[str, Any]:
        async with (
            aiohttp.ClientSession(cookies=self.cookies) as client,
            client.request(method, f"{self.base}{path}", json=content) as response,
        ):
            response.raise_for_status()
            return dict(await response.json())

    async def submit(self, url: str, digest: str) -> str:
        """Submit a download; gives its key."""
        body = {"url": url, "checksum": {"sha256": digest}}
        return str((await self.call("POST", _FETCH, body))["key"])

    async def over(self, key: str) -> dict[str, Any] | None:
        """Wait for the end of the job; gives its body, None if it has not ended after LIMIT_S."""
        try:
            async with asyncio.timeout(LIMIT_S):
                while True:
                    body = dict((await self.call("GET", f"{_FETCH}/{key}"))["body"])
                    if body["status"] not in ("queued", "in-progress"):
                        return body
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            return None

    def image(self, slot: int) -> bytes:
        return (self.directory / "state" / "slots" / str(slot) / "image").read_bytes()


@dataclass
class _Trial:
    """A case, its origin, and the key of the job that has the partial download, if any."""

    case: Case
    origin: Origin
    digest: str
    key: str = ""
    earlier_requests: int = 0

    async def run(self, daemon: _Daemon) -> Result:
        url = self.origin.url(PATH)
        runs = [await self._run(daemon, self.key or await daemon.submit(url, self.digest))]
        if runs[0].status not in (0, None):
            runs.append(await self._run(daemon, await daemon.submit(url, self.digest)))
        sent = sum(request.sent for request in self.origin.requests[self.earlier_requests :])
        return result_of(runs, kept=self.case.kept, sent=sent)

    async def _run(self, daemon: _Daemon, key: str) -> Run:
        body = await daemon.over(key)
        if body is None:
            return Run(None, is_right=False, message="not over in time")
        if body["status"] != "finished":
            return Run(1, is_right=False, message=str(body["error"]))
        return Run(0, daemon.image(body["slot_id"]) == self.case.content, "finished")


async def results(cases: Sequence[Case], directory: Path) -> Mapping[str, Result]:
    """Try one daemon with all cases at the same time; gives the results by the cases' names.

    Raises:
        PreparationError: the daemon or a partial download could not be prepared.
    """
    daemon = _Daemon(directory)
    async with AsyncExitStack() as stack:
        trials = [await stack.enter_async_context(_trial(case)) for case in cases]
        stack.push_async_callback(daemon.kill)
        daemon.configure(stall_window_s=300)
        await daemon.add_user()
        if resumed := [trial for trial in trials if trial.case.kept]:
            await daemon.start()
            await daemon.log_in()
            async with asyncio.TaskGroup() as group:
                for trial in resumed:
                    group.create_task(_make_partial(daemon, trial))
            await daemon.kill()
        for trial in trials:
            _prepare_origin(trial)
        daemon.configure(stall_window_s=STALL_S)
        await daemon.start()
        await daemon.log_in()
        in_order = await asyncio.gather(*(trial.run(daemon) for trial in trials))
        return {case.name: result for case, result in zip(cases, in_order, strict=True)}


@asynccontextmanager
async def _trial(case: Case) -> AsyncIterator[_Trial]:
    async with Origin(
        {PATH: case.before},
        always=case.always,
        etag=case.etag,
        validators=case.validators,
        send_buffer=SEND_BUFFER,
    ) as origin:
        yield _Trial(case, origin, hashlib.sha256(case.content).hexdigest())


async def _make_partial(daemon: _Daemon, trial: _Trial) -> None:
    """Make the partial download: the origin closes after its bytes and hangs at the next request.

    If the partial has all bytes the download is finished then, although the origin announced more.

    Raises:
        PreparationError: the next request does not resume at the expected length.
    """
    case, origin = trial.case, trial.origin
    origin.script(CutAfter(case.kept), Hang(0))
    trial.key = await daemon.submit(origin.url(PATH), trial.digest)
    async with asyncio.timeout(_START_S):
        if case.kept == len(case.content):  # it has the digest: there is no next request
            await daemon.over(trial.key)
            return
        await origin.wait_for_requests(2)
    # Without a strong validator spsd compares the first bytes first; see docs/resume.md.
    comparison = f"bytes=0-{WINDOWS.size - 1}"
    if (requested := origin.requests[1].range) not in (f"bytes={case.kept}-", comparison):
        raise PreparationError(
            f"{case.name}: the partial has {case.kept} bytes, but {requested} is requested"
        )


def _prepare_origin(trial: _Trial) -> None:
    """Serve the object of the case and play its acts from the next request on."""
    case, origin = trial.case, trial.origin
    if case.kept and (case.changed or case.surplus):
        origin.swap(PATH, case.content, keep_etag=case.same_etag)
    origin.script(*case.script)
    trial.earlier_requests = len(origin.requests)
