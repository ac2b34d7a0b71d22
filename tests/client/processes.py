"""spsctl as a process: with pipes, and with a terminal."""

import asyncio
import fcntl
import json
import os
import pty
import re
import signal
import sys
import termios
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from spsd.testing.daemon import PASSWORD, USER
from testbed import needs
from testbed.driver import Daemon

SPSCTL = (sys.executable, "-m", "spsd.client")


@dataclass
class Result:
    exit: int
    out: str
    err: str

    @property
    def document(self) -> dict:
        """The document of --json, which is the only line of standard output."""
        [line] = self.out.splitlines()
        return json.loads(line)


def _take_terminal() -> None:
    """Let Ctrl-C in the terminal send SIGINT to the process.

    A shell makes background jobs (``&``) ignore SIGINT, and the tests may be one.
    """
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Terminal:
    """The other end of a process's terminal."""

    def __init__(self, process: asyncio.subprocess.Process, descriptor: int) -> None:
        self.process = process
        self._descriptor = descriptor
        self._text = ""
        self._changed = asyncio.Event()
        self._closed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(descriptor, self._read)

    def _read(self) -> None:
        try:
            block = os.read(self._descriptor, 65536)
        except OSError:  # the other end is closed (Linux: EIO)
            block = b""
        if not block:
            self._loop.remove_reader(self._descriptor)
            self._closed.set()
        self._text += block.decode(errors="replace")
        self._changed.set()

    async def until(self, pattern: str) -> str:
        """Wait until ``pattern`` has been shown; the whole text without escape sequences."""
        try:
            async with asyncio.timeout(20):
                while not re.search(pattern, self.shown, re.DOTALL):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pytest.fail(f"no {pattern!r} in {self.shown!r}")
        return self.shown

    @property
    def shown(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self._text)

    @property
    def raw(self) -> str:
        """The text with its escape sequences."""
        return self._text

    @property
    def echoes(self) -> bool:
        """Whether the terminal shows what is typed."""
        return bool(termios.tcgetattr(self._descriptor)[3] & termios.ECHO)

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    async def end(self) -> int:
        """Wait until the process has ended and all of its output is read; its exit status."""
        exit_ = await self.end_without_closing()
        self.close()
        return exit_

    async def end_without_closing(self) -> int:
        """As :meth:`end`; the terminal can still be looked at, until :meth:`close`."""
        async with asyncio.timeout(20):
            exit_ = await self.process.wait()
            await self._closed.wait()
        return exit_

    def close(self) -> None:
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)


def as_user(uid: int) -> tuple[str, ...]:
    """The start of a command that runs as this user, and may read Python and the checkout."""
    readers = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    return ("setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups", *readers)


@dataclass
class Shell:
    """What spsctl runs in: a home, and changes of the environment (None: not set)."""

    home: Path
    changes: dict[str, str | None] = field(default_factory=dict, kw_only=True)

    @property
    def environ(self) -> dict[str, str]:
        home = {"HOME": str(self.home), "XDG_CONFIG_HOME": str(self.home / "config")}
        inherited = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        environ = inherited | home | {"TERM": "xterm-256color", "COLUMNS": "100"} | self.changes
        return {name: value for name, value in environ.items() if value is not None}

    @property
    def hosts(self) -> Path:
        return self.home / "config" / "spsctl" / "hosts.json"

    async def run(self, *arguments: str, stdin: str = "", uid: int | None = None) -> Result:
        process = await asyncio.create_subprocess_exec(
            *(() if uid is None else as_user(uid)),
            *SPSCTL,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self.environ,
        )
        async with asyncio.timeout(30):
            out, err = await process.communicate(stdin.encode())
        assert process.returncode is not None
        assert "Traceback" not in err.decode()
        return Result(process.returncode, out.decode(), err.decode())

    async def run_in_terminal(self, *arguments: str) -> Terminal:
        needs.now(needs.terminal())
        controller, terminal = pty.openpty()
        process = await asyncio.create_subprocess_exec(
            *SPSCTL,
            *arguments,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env=self.environ,
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        os.close(terminal)
        return Terminal(process, controller)


@dataclass
class User(Shell):
    """A user with a configuration directory, and the daemon that they log in to."""

    daemon: Daemon

    async def log_in(self) -> Result:
        return await self.run(
            *("login", self.daemon.url, "-u", USER, "--password-file", "-", "--yes"),
            stdin=PASSWORD + "\n",
        )
