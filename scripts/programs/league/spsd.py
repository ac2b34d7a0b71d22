"""spsd in the league: a real daemon over REST, killed where the others find a partial file."""

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
from scripts.programs.league.table import Result, Run, result
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
    """The daemon did not get as far as the meeting begins; ``str()`` says why."""


@dataclass
class _Daemon:
    """One state directory, and at most one process that works in it."""

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
            raise PreparationError(f"the daemon did not get ready; it said {line!r}")
        self.base = line.split()[-1]

    async def kill(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)
            await self.process.wait()

    async def log_in(self) -> None:
        word = b64encode(f"league:{_PASSWORD}".encode()).decode()
        async with (
            aiohttp.ClientSession() as client,
            client.get(
                f"{self.base}/api/authentication", headers={"Authorization": f"Basic {word}"}
            ) as answer,
        ):
            answer.raise_for_status()
            self.cookies = {name: morsel.value for name, morsel in answer.cookies.items()}

    async def call(self, method: str, path: str, content: object = None) -> dict[str, Any]:
        async with (
            aiohttp.ClientSession(cookies=self.cookies) as client,
            client.request(method, f"{self.base}{path}", json=content) as answer,
        ):
            answer.raise_for_status()
            return dict(await answer.json())

    async def submit(self, url: str, digest: str) -> str:
        asked = {"url": url, "checksum": {"sha256": digest}}
        return str((await self.call("POST", _FETCH, asked))["key"])

    async def over(self, key: str) -> dict[str, Any] | None:
        """The body of the job when it is over, None if that takes too long."""
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
class _Meeting:
    """A case, its origin, and the job that was submitted for it while the partial was made."""

    case: Case
    origin: Origin
    digest: str
    key: str = ""
    already_asked: int = 0

    async def run(self, daemon: _Daemon) -> Result:
        url = self.origin.url(PATH)
        runs = [await self._run(daemon, self.key or await daemon.submit(url, self.digest))]
        if runs[0].status not in (0, None):
            runs.append(await self._run(daemon, await daemon.submit(url, self.digest)))
        sent = sum(asked.sent for asked in self.origin.requests[self.already_asked :])
        return result(runs, kept=self.case.kept, sent=sent)

    async def _run(self, daemon: _Daemon, key: str) -> Run:
        body = await daemon.over(key)
        if body is None:
            return Run(None, is_right=False, said="not over in time")
        if body["status"] != "finished":
            return Run(1, is_right=False, said=str(body["error"]))
        return Run(0, daemon.image(body["slot_id"]) == self.case.content, "finished")


async def results(cases: Sequence[Case], directory: Path) -> Mapping[str, Result]:
    """Let one daemon meet all the cases, many at a time; gives the results by name.

    Raises:
        PreparationError: it never came to that.
    """
    daemon = _Daemon(directory)
    async with AsyncExitStack() as stack:
        meetings = [await stack.enter_async_context(_meeting(case)) for case in cases]
        stack.push_async_callback(daemon.kill)
        daemon.configure(stall_window_s=300)
        await daemon.add_user()
        if resumed := [meeting for meeting in meetings if meeting.case.kept]:
            await daemon.start()
            await daemon.log_in()
            async with asyncio.TaskGroup() as group:
                for meeting in resumed:
                    group.create_task(_prepare(daemon, meeting))
            await daemon.kill()
        for meeting in meetings:
            _set_the_scene(meeting)
        daemon.configure(stall_window_s=STALL_S)
        await daemon.start()
        await daemon.log_in()
        met = await asyncio.gather(*(meeting.run(daemon) for meeting in meetings))
        return {case.name: one for case, one in zip(cases, met, strict=True)}


@asynccontextmanager
async def _meeting(case: Case) -> AsyncIterator[_Meeting]:
    async with Origin(
        {PATH: case.before},
        always=case.always,
        etag=case.etag,
        validators=case.validators,
        send_buffer=SEND_BUFFER,
    ) as origin:
        yield _Meeting(case, origin, hashlib.sha256(case.content).hexdigest())


async def _prepare(daemon: _Daemon, meeting: _Meeting) -> None:
    """Have the partial made: the origin closes after it, and lets the next request wait."""
    case, origin = meeting.case, meeting.origin
    origin.script(CutAfter(case.kept), Hang(0))
    meeting.key = await daemon.submit(origin.url(PATH), meeting.digest)
    async with asyncio.timeout(_START_S):
        await origin.wait_for_requests(2)
    # With no strong validator it compares the beginning first, as docs/resume.md tells.
    compares = f"bytes=0-{WINDOWS.size - 1}"
    if (asked := origin.requests[1].range) not in (f"bytes={case.kept}-", compares):
        raise PreparationError(f"{case.name}: {case.kept} bytes are kept, but {asked} is asked for")


def _set_the_scene(meeting: _Meeting) -> None:
    case, origin = meeting.case, meeting.origin
    if case.kept and (case.changed or case.surplus):
        origin.swap(PATH, case.content, keep_etag=case.same_etag)
    origin.script(*case.script)
    meeting.already_asked = len(origin.requests)
