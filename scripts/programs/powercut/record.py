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
# The client pins what it was shown; that is looked at for itself.
UNVERIFIED = ssl.create_default_context()
UNVERIFIED.check_hostname = False
UNVERIFIED.verify_mode = ssl.CERT_NONE


def served_certificate(url: str) -> str | None:
    """SHA-256 of the certificate that is served there; None: there is no TLS."""
    parts = urlsplit(url)
    if parts.scheme != "https":
        return None
    shown = ssl.get_server_certificate((parts.hostname or "", parts.port or 0), timeout=START_S)
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(shown)).hexdigest()


class RecordingError(Exception):
    """The scenario did not get to its end, so there is nothing to cut."""


def write_config(path: Path, state: Path, *, plain: bool = True) -> None:
    """The daemon's configuration for a state directory; its hook does nothing."""
    text = CONFIG.format(state=state, hook=shutil.which("true"), plain=str(plain).lower())
    path.write_text(text, encoding="utf-8")


@dataclass
class Stage:
    """One daemon on a state directory, and what its client was told of it."""

    root: Path
    state: Path
    origin: ThreadedOrigin
    client: Client = field(default_factory=lambda: Client("", UNVERIFIED))
    process: subprocess.Popen[str] | None = None
    marks: bool = True
    plain: bool = True
    told: list[str] = field(default_factory=list)
    """All marks so far, in the form of the record."""

    @property
    def config(self) -> Path:
        return self.root / "spsd.toml"

    def mark(self, *words: object) -> None:
        """Note what the client has done or was told, at this moment of the disk's life."""
        self.told.append(" ".join(map(str, words)))
        if self.marks:
            try:
                (self.state.parent / f"{MARK}{'+'.join(map(str, words))}").mkdir()
            except FileExistsError:
                return
            raise RecordingError("this is no recording file system")

    def add_user(self) -> None:
        command = [sys.executable, "-m", "spsd", "user", "add", USER, "--password-stdin"]
        subprocess.run(
            [*command, "--config", self.config], input=PASSWORD, text=True, check=True, timeout=60
        )

    def start(self, boot: str = "before the cut") -> None:
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
        answer = self.client.log_in(USER, PASSWORD)
        if answer.status != 200:
            raise RecordingError(f"no log-in: {answer.content!r}")
        self.mark("logged-in")

    def stop(self) -> None:
        """End it politely."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as it stands; harmless if it has ended."""
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
        answer = self.client.call(
            method, path, json_body=json_body, content=content, headers=headers
        )
        if answer.status >= 300:
            raise RecordingError(f"{method} {path}: {answer.status} {answer.content!r}")
        return answer

    def submit(self, path: str, sha256: str, kind: str = "good") -> str:
        wanted = {"url": self.origin.url(path), "checksum": {"sha256": sha256}}
        self.mark("submit-sent", sha256, kind)
        key = self.call("POST", FETCH, json_body=wanted).document["key"]
        self.mark("accepted", key)
        return str(key)

    def job(self, key: str) -> dict[str, Any]:
        return dict(self.call("GET", f"{FETCH}/{key}").document["body"])

    def until(self, key: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        end = time.monotonic() + START_S
        while not holds(body := self.job(key)):
            if time.monotonic() > end:
                raise RecordingError(f"nothing comes of {body}")
            time.sleep(0.01)
        return body

    def over(self, key: str) -> dict[str, Any]:
        body = self.until(key, lambda body: body["status"] in OVER)
        self.mark(body["status"], key, body["slot_id"])
        return body


@contextmanager
def recording(backing: Path, mount: Path, log: Path) -> Iterator[None]:
    """The directory ``backing`` appears at ``mount``; what is done there is written down."""
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
    """Run a scenario on a copy of the state ``prepared``; gives all that it did to the disk."""
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
