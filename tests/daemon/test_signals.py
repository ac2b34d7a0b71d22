"""Signals to the process at any moment of its start and its stop."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from testbed.driver import Daemon
from tests.daemon.test_reload import Manager

ROOT = Path(__file__).parents[2]
FLOOD_S = 0.002
"""Between two signals: a start takes some hundreds of these."""
MOMENTS = 16


class Started:
    """A daemon process from its first moment on; nothing waits for it."""

    def __init__(self, process: asyncio.subprocess.Process, error: Path) -> None:
        self.process = process
        self._error = error

    @property
    def handles_hangup(self) -> bool:
        """Whether the process has a handler for SIGHUP, whose default action ends it."""
        status = self._proc("status").splitlines()
        [mask] = [line.split()[1] for line in status if line.startswith("SigCgt:")]
        return bool(int(mask, 16) >> (signal.SIGHUP - 1) & 1)

    def has_loaded(self, library: str) -> bool:
        return library in self._proc("maps")

    def _proc(self, name: str) -> str:
        return Path(f"/proc/{self.process.pid}/{name}").read_text()

    async def until_hangup_is_handled(self) -> None:
        while self.process.returncode is None and not self.handles_hangup:
            await asyncio.sleep(0.0005)

    async def flood(
        self, until: "asyncio.Future[object]", number: signal.Signals = signal.SIGHUP
    ) -> None:
        """Send the signal again and again until the future is done."""
        while not until.done() and self.process.returncode is None:
            # Popen.send_signal would take the exit status away from asyncio.
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, number)
            await asyncio.wait([until], timeout=FLOOD_S)

    async def ready(self) -> str:
        assert self.process.stdout is not None
        return (await self.process.stdout.readline()).decode()

    def errors(self) -> str:
        return self._error.read_text()


@pytest.fixture(autouse=True)
def _default_action() -> Iterator[None]:
    """A process inherits that SIGHUP is ignored, as after nohup(1)."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    daemon = Daemon(tmp_path)
    await daemon.set_up()
    yield daemon
    await daemon.close()


async def start(daemon: Daemon, name: str = "log", **environ: str) -> Started:
    error = daemon.root / name
    with error.open("wb") as log:
        daemon.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "spsd", "serve", "--config", daemon.config),
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            cwd=ROOT,
            env=os.environ | environ,
        )
    return Started(daemon.process, error)


async def test_hangups_from_the_first_moment_on_do_not_end_it(daemon: Daemon) -> None:
    started = await start(daemon)
    await started.until_hangup_is_handled()
    # Importing takes most of the start; these are among the first that spsd imports.
    assert not started.has_loaded("_ssl")
    assert not started.has_loaded("_asyncio")
    ready = asyncio.ensure_future(started.ready())
    await started.flood(ready)
    assert (await ready).startswith("spsd ready on "), started.errors()
    ended = asyncio.ensure_future(started.process.wait())
    started.process.send_signal(signal.SIGTERM)
    await started.flood(ended)
    assert await ended == 0, started.errors()
    assert "Traceback" not in started.errors()


async def test_a_hangup_during_the_start_is_answered_after_it(
    daemon: Daemon, tmp_path: Path
) -> None:
    manager = Manager(tmp_path / "notify")
    try:
        started = await start(daemon, **manager.environ)
        await started.until_hangup_is_handled()
        started.process.send_signal(signal.SIGHUP)
        await manager.message("READY=1")
        await manager.message("RELOADING=1")
        assert "configuration read again" in await manager.message("READY=1")
        assert await daemon.stop() == 0
    finally:
        manager.socket.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_at_any_moment_of_the_start_is_clean(
    daemon: Daemon, number: signal.Signals
) -> None:
    started = await start(daemon)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    assert (await started.ready()).startswith("spsd ready on ")
    whole_start = loop.time() - begun
    assert await daemon.stop() == 0
    for moment in range(MOMENTS):
        started = await start(daemon, f"log-{moment}")
        await started.until_hangup_is_handled()
        # There is nothing to wait for: the moment is the case.
        await asyncio.sleep(whole_start * moment / MOMENTS)
        status = await daemon.end(number)
        assert status in (0, -number), started.errors()
        assert "Traceback" not in started.errors()
        daemon.process._transport.close()
    # Nothing that was interrupted keeps it from starting.
    started = await start(daemon)
    assert (await started.ready()).startswith("spsd ready on ")


async def test_a_second_stop_during_the_stop_is_clean(daemon: Daemon) -> None:
    started = await start(daemon)
    await started.ready()
    ended = asyncio.ensure_future(started.process.wait())
    await started.flood(ended, signal.SIGTERM)
    assert await ended in (0, -signal.SIGTERM)
    assert "Traceback" not in started.errors()


async def test_a_hangup_of_the_terminal_ends_other_commands(daemon: Daemon) -> None:
    """Only the daemon reloads; a prompt for a password must end with its terminal."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "spsd", "user", "add", "serve"),
        *("--password-stdin", "--config", daemon.config),
        stdin=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    started = Started(process, daemon.root)
    while not started.has_loaded("_argon2"):
        await asyncio.sleep(0.001)
    assert not started.handles_hangup
    process.send_signal(signal.SIGHUP)
    assert await process.wait() == -signal.SIGHUP
    process._transport.close()
