"""The tools that spsd is compared with, each with the options with which it resumes."""

import asyncio
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from scripts.programs.league.cases import PATH, STALL_S, Case
from scripts.programs.league.table import Result, Run, result_of
from spsd.testing.origin import Origin

LIMIT_S: Final = 20.0
"""A run that takes longer counts as hanging."""
SEND_BUFFER: Final = 16 * 1024
Command: TypeAlias = Callable[[str, str], list[str]]
"""Gives the command line for a URL and a SHA-256."""
_FILE: Final = PATH.removeprefix("/")
_HUGGING_FACE: Final = """\
import sys
from pathlib import Path
from huggingface_hub.file_download import http_get
url, name = sys.argv[1:]
Path(name).touch()
with open(name, "ab") as file:
    http_get(url, file, resume_size=file.tell())
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """A tool; its command is run in the directory of the file."""

    name: str
    version: str
    command: Command

    async def try_case(self, case: Case, directory: Path) -> Result:
        """Run the command, and once more if it fails, as a user would."""
        _prepare(case, directory)
        # A change during the download is an act of the script. With a partial file only its bytes
        # are of the object before the change.
        first = case.before if case.changed and not case.kept else case.content
        async with Origin(
            {PATH: first},
            case.script,
            always=case.always,
            etag=case.etag,
            validators=case.validators,
            send_buffer=SEND_BUFFER,
        ) as origin:
            runs = [await self._run(origin.url(PATH), directory, case)]
            if runs[0].status not in (0, None):
                runs.append(await self._run(origin.url(PATH), directory, case))
            return result_of(runs, kept=case.kept, sent=origin.bytes_sent)

    async def _run(self, url: str, directory: Path, case: Case) -> Run:
        log = directory / "log"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *self.command(url, hashlib.sha256(case.content).hexdigest()),
                cwd=directory,
                env=_environ(directory),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
            try:
                async with asyncio.timeout(LIMIT_S):
                    status: int | None = await process.wait()
            except TimeoutError:
                status = None
            finally:
                if process.returncode is None:
                    process.send_signal(signal.SIGKILL)
                    await process.wait()
        file = directory / _FILE
        is_right = file.exists() and file.read_bytes() == case.content
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "no output")
        return Run(status, is_right, f"exit status {status}: {last}")


def _prepare(case: Case, directory: Path) -> None:
    directory.mkdir()
    if case.kept:
        (directory / _FILE).write_bytes(case.before[: case.kept])


def _environ(home: Path) -> dict[str, str]:
    """An environment without the user's settings, proxies and translations."""
    paths = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    settings = {"HF_HUB_DOWNLOAD_TIMEOUT": str(STALL_S), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    return {**paths, **settings, "HOME": str(home), "LC_ALL": "C.UTF-8"}


def _curl(url: str, _sha256: str) -> list[str]:
    return [
        *("curl", "--disable", "--silent", "--show-error", "--fail", "--location"),
        *("--continue-at", "-", "--retry", "3", "--retry-all-errors", "--retry-delay", "1"),
        *("--connect-timeout", "5", "--speed-limit", "1024", "--speed-time", str(STALL_S)),
        *("--output", _FILE, url),
    ]


def _wget(url: str, _sha256: str) -> list[str]:
    return [
        *("wget", "--no-config", "--no-verbose", "--continue", "--tries", "4", "--waitretry", "1"),
        *("--connect-timeout", "5", "--read-timeout", str(STALL_S)),
        *("--retry-on-http-error", "429,503", "--retry-connrefused", url),
    ]


def _aria2c(url: str, _sha256: str) -> list[str]:
    return [
        *("aria2c", "--no-conf", "--continue", "--auto-file-renaming=false", "--max-tries=4"),
        *("--retry-wait=1", "--connect-timeout=5", f"--timeout={STALL_S}"),
        *("--lowest-speed-limit=1K", "--split=1", "--file-allocation=none"),
        *("--console-log-level=error", "--summary-interval=0", "--show-console-readout=false"),
        *("--allow-overwrite=false", f"--out={_FILE}", url),
    ]


def _aria2c_with_checksum(url: str, sha256: str) -> list[str]:
    return [*_aria2c(url, sha256), f"--checksum=sha-256={sha256}"]


def _huggingface_hub(url: str, _sha256: str) -> list[str]:
    return [sys.executable, "-c", _HUGGING_FACE, url, _FILE]


_COMMANDS: Final[dict[str, Command]] = {
    "curl": _curl,
    "wget": _wget,
    "aria2c": _aria2c,
    "aria2c --checksum": _aria2c_with_checksum,
}
HUGGING_FACE: Final = "huggingface_hub"
PEERS: Final = (*_COMMANDS, HUGGING_FACE)


def find_peer(name: str) -> Peer | None:
    """The peer of this name; None if it is not installed."""
    if name == HUGGING_FACE:
        if importlib.util.find_spec(name) is None:
            return None
        script = f"import {name}; print({name}.__version__)"
        return Peer(name, _first_line([sys.executable, "-c", script]), _huggingface_hub)
    program = name.split(maxsplit=1)[0]
    if shutil.which(program) is None:
        return None
    version = re.search(r"\d+\.\d+(\.\d+)*", _first_line([program, "--version"]))
    return Peer(name, version[0] if version else "of unknown version", _COMMANDS[name])


def _first_line(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.partition("\n")[0].strip()
