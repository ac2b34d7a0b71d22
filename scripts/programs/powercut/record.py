"""Records a scenario: the real daemon on a recording file system, driven over its real API."""

import hashlib
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from scripts.programs.powercut.daemon import BOOT
from scripts.programs.powercut.effects import MARK, Effect, read
from spsd.testing.client import Answer, Client
from spsd.testing.origin import ThreadedOrigin

USER, PASSWORD = "operator", "correct horse"
FETCH = "/api/firmware/fetch"
START_S = 30.0
OVER = ("finished", "failed", "cancelled")
CONFIG = """\
[server]
host = "127.0.0.1"
port = 0
plain_http = {plain}
session_idle_minutes = 1440
session_hours = 24
[state]
directory = "{state}"
[slots]
count = 3
accept = "any"
[fetch]
allow = ["127.0.0.0/8"]
proxy = ""
backoff_initial_s = 0.02
backoff_limit_s = 0.05
[upgrade]
activate_hook = "{hook}"
"""
# The client does not verify: that the certificate stays the same is checked separately.
UNVERIFIED = ssl.create_default_context()
UNVERIFIED.check_hostname = False
UNVERIFIED.verify_mode = ssl.CERT_NONE


def served_certificate(url: str) -> str | None:
    """SHA-256 of the certificate that the server at ``url`` has; None: the URL is not https."""
    parts = urlsplit(url)
    if parts.scheme != "https":
        return None
    pem = ssl.get_server_certificate((parts.hostname or "", parts.port or 0), timeout=START_S)
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


class RecordingError(Exception):
    """The scenario could not be run to its end, so there is no record to cut."""


def write_config(path: Path, state: Path, *, plain: bool = True) -> None:
    """Write the daemon's configuration for a state directory; its hook does nothing."""
    text = CONFIG.format(state=state, hook=shutil.which("true"), plain=str(plain).lower())
    path.write_text(text, encoding="utf-8")


@dataclass
class Stage:
    """One daemon on a state directory, its client, and the client's marks."""

    root: Path
    state: Path
    origin: ThreadedOrigin
    client: Client = field(default_factory=lambda: Client("", UNVERIFIED))
    process: subprocess.Popen[str] | None = None
    marks: bool = True
    plain: bool = True
    marks_so_far: list[str] = field(default_factory=list)
    """The texts of all marks so far, as in the record."""

    @property
    def config(self) -> Path:
        return self.root / "spsd.toml"

    def mark(self, *words: object) -> None:
        """Record a request or response of the client in the order of the effects on the disk.

        Raises:
            RecordingError: the state directory is not on a recording file system.
        """
        self.marks_so_far.append(" ".join(map(str, words)))
        if self.marks:
            try:
                (self.state.parent / f"{MARK}{'+'.join(map(str, words))}").mkdir()
            except FileExistsError:
                return
            raise RecordingError("the state directory is not on a recording file system")

    def add_user(self) -> None:
        command = [sys.executable, "-m", "spsd", "user", "add", USER, "--password-stdin"]
        subprocess.run(
            [*command, "--config", self.config], input=PASSWORD, text=True, check=True, timeout=60
        )

    def start(self, boot: str = "before the cut") -> None:
        """Start the daemon with a boot id and wait for its ready line."""
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "scripts.programs.powercut.daemon",
                "serve",
                "--config",
                self.config,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {BOOT: boot},
        )
        assert self.process.stdout is not None
        lines = []
        while not (line := self.process.stdout.readline()).startswith("spsd ready on "):
            if not line:
                raise RecordingError(f"the daemon did not start: {''.join(lines)}")
            lines.append(line)
        self.client.url = line.split()[-1]

    def log_in(self) -> None:
        response = self.client.log_in(USER, PASSWORD)
        if response.status != 200:
            raise RecordingError(f"the log-in failed: {response.content!r}")
        self.mark("logged-in")

    def stop(self) -> None:
        """Stop the daemon with SIGTERM."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the daemon, if it runs."""
        self._end(signal.SIGKILL)

    def _end(self, number: int) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.communicate(timeout=START_S)
            self.process = None

    def call(
        self,
        method: str,
        path: str,
        *,
        json_body: object = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request; gives the response.

        Raises:
            RecordingError: its status is 300 or more.
        """
        response = self.client.call(
            method, path, json_body=json_body, content=content, headers=headers
        )
        if response.status >= 300:
            raise RecordingError(f"{method} {path}: {response.status} {response.content!r}")
        return response

    def submit(self, path: str, sha256: str, kind: str = "good") -> str:
        """Submit a download, with marks; ``kind`` ``bad``: its digest is wrong. Gives its key."""
        body = {"url": self.origin.url(path), "checksum": {"sha256": sha256}}
        self.mark("submit-sent", sha256, kind)
        key = self.call("POST", FETCH, json_body=body).document["key"]
        self.mark("accepted", key)
        return str(key)

    def job(self, key: str) -> dict[str, Any]:
        return dict(self.call("GET", f"{FETCH}/{key}").document["body"])

    def until(self, key: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Poll a job until ``holds`` is true of its body; gives that body.

        Raises:
            RecordingError: it was not true within START_S.
        """
        end = time.monotonic() + START_S
        while not holds(body := self.job(key)):
            if time.monotonic() > end:
                raise RecordingError(f"timeout; the last body was {body}")
            time.sleep(0.01)
        return body

    def over(self, key: str) -> dict[str, Any]:
        """Wait for the end of a job and mark it; gives its body."""
        body = self.until(key, lambda body: body["status"] in OVER)
        self.mark(body["status"], key, body["slot_id"])
        return body


@contextmanager
def recording(backing: Path, mount: Path, log: Path) -> Iterator[None]:
    """The directory ``backing`` is mounted at ``mount``; effects there are written to ``log``.

    Raises:
        RecordingError: the file system could not be mounted.
    """
    mount.mkdir(exist_ok=True)
    recorder = subprocess.Popen(
        [sys.executable, "-m", "scripts.programs.powercut.recorder", backing, mount, log],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        end = time.monotonic() + START_S
        while not mount.is_mount():
            if recorder.poll() is not None or time.monotonic() > end:
                recorder.kill()
                raise RecordingError(f"no recording file system: {recorder.communicate()[1]}")
            time.sleep(0.01)
        yield
    finally:
        if mount.is_mount():
            subprocess.run(["fusermount3", "-u", mount], check=True)
        recorder.wait(START_S)
        assert recorder.stderr is not None
        recorder.stderr.close()


def record(
    root: Path,
    prepared: Path | None,
    run: Callable[[Stage], None],
    origin: ThreadedOrigin,
    client: Client,
    *,
    plain: bool = True,
) -> list[Effect]:
    """Run a scenario on a copy of the state ``prepared``; gives its effects on the disk."""
    backing, mount, log = root / "backing", root / "mount", root / "effects"
    backing.mkdir()
    if prepared is not None:
        shutil.copytree(prepared, backing / "state", symlinks=True)
    with recording(backing, mount, log):
        stage = Stage(root, mount / "state", origin, client, plain=plain)
        write_config(stage.config, stage.state, plain=plain)
        try:
            run(stage)
            stage.stop()
        finally:
            stage.kill()
    return read(log)
