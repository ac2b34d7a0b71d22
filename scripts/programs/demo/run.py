"""Fetches one image from a local origin into a slot, over REST, and shows each step."""

import argparse
import filecmp
import hashlib
import io
import json
import os
import secrets
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import (
    HTTPCookieProcessor,
    HTTPSHandler,
    ProxyHandler,
    Request,
    build_opener,
)

import pycdlib
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

MIB = 1024 * 1024
PAYLOAD = 64 * MIB
RATE = 16 * MIB
START_S = 30.0
FETCH_S = 120.0
USER = "demo"
IMAGE = "demo.iso"
FETCH = "/api/firmware/fetch"
CERTIFICATE = "state/tls/certificate.pem"
CONFIG = """\
[server]
host = "127.0.0.1"
port = 0
[state]
directory = "{state}"
[fetch]
allow = ["127.0.0.0/8"]             # the origin of the demo is on loopback
proxy = ""                          # so no proxy leads there
rate_limit_bytes_per_s = {rate}   # so that there is something to see
"""


class DemoError(Exception):
    """A step of the demo failed; ``str()`` is the reason."""


class Child:
    """A child process with its output in files."""

    def __init__(self, name: str, command: Sequence[str | Path], directory: Path) -> None:
        self._name = name
        self._output = directory / f"{name}.out"
        self._log = directory / f"{name}.log"
        with self._output.open("wb") as output, self._log.open("wb") as log:
            # In a session of its own, so that with --keep it survives a Ctrl-C in the terminal.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def line(self, beginning: str) -> str:
        """Wait for a line of output with this beginning; gives the rest of the line.

        Raises:
            DemoError: the process ended before, or there is no such line within START_S.
        """
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            ended = self._process.poll() is not None
            for line in self._output.read_text(encoding="utf-8").splitlines(keepends=True):
                if line.startswith(beginning) and line.endswith("\n"):
                    return line.removeprefix(beginning).strip()
            if ended:
                break
            time.sleep(0.05)
        raise DemoError(f"the {self._name} did not get ready.\n{self._log_tail()}")

    def end(self) -> None:
        """Send SIGTERM, and SIGKILL if it still runs after ten seconds."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _log_tail(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-10:]) or "Its log is empty."


class Client:
    """A client of the REST API with a cookie jar; it only trusts the daemon's own certificate."""

    def __init__(self, base: str, certificate: Path) -> None:
        self._base = base
        self._opener = build_opener(
            ProxyHandler({}),
            HTTPSHandler(context=ssl.create_default_context(cafile=certificate)),
            HTTPCookieProcessor(CookieJar()),
        )

    def call(
        self, method: str, path: str, body: str | None = None, user: str | None = None
    ) -> dict[str, Any]:
        """Send a request; gives the JSON of the response. ``user`` is ``NAME:PASSWORD``.

        Raises:
            DemoError: the response has an error status.
        """
        request = Request(
            f"{self._base}{path}", method=method, data=body.encode() if body is not None else None
        )
        if user is not None:
            request.add_header("Authorization", f"Basic {b64encode(user.encode()).decode()}")
        try:
            with self._opener.open(request, timeout=30) as response:
                return dict(json.load(response))
        except HTTPError as error:
            text = error.read().decode(errors="replace")
            raise DemoError(f"{method} {path}: status {error.code}: {text}") from error


@dataclass(frozen=True)
class Stage:
    """The console and the directory of the demo."""

    console: Console
    directory: Path
    keep: bool

    def heading(self, text: str) -> None:
        """Show the heading of a step."""
        self.console.print(text, style="bold", highlight=False, markup=False, soft_wrap=True)

    def type(self, command: str) -> None:
        """Show a command as a user would type it."""
        self.console.print(
            f"$ {command}", style="cyan", highlight=False, markup=False, soft_wrap=True
        )

    def response(self, content: object) -> None:
        """Show the JSON of a response."""
        text = json.dumps(content, indent=1)
        self.console.print(text, style="dim", highlight=False, markup=False, soft_wrap=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/demo",
        description="Fetch a real ISO image from a local origin into a firmware slot, over REST.",
    )
    parser.add_argument(
        "--keep", action="store_true", help="leave the daemon and the origin running"
    )
    parser.add_argument(
        "--picture", type=Path, metavar="SVG", help="also write the output as a picture"
    )
    options = parser.parse_args(arguments)
    # These signals raise SystemExit, so that the child processes are ended too.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    console = Console(record=options.picture is not None, width=110 if options.picture else None)
    try:
        with ExitStack() as stack:
            directory = Path(tempfile.mkdtemp(prefix="spsd-demo-"))
            stack.callback(shutil.rmtree, directory, ignore_errors=True)
            play(Stage(console, directory, options.keep), stack)
            if options.keep:
                stack.pop_all()
        if not options.keep:
            console.print(
                "\nDone: the daemon and the origin have ended, and their files are removed."
            )
    except (DemoError, OSError, subprocess.SubprocessError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted", file=sys.stderr)
        return 1
    if options.picture is not None:
        console.save_svg(str(options.picture), title="scripts/demo")
    return 0


def play(stage: Stage, stack: ExitStack) -> None:
    """Run all steps; child processes end with ``stack``.

    Raises:
        DemoError: a step failed.
    """
    here = stage.directory
    stage.heading("An image, an origin that serves it, and the daemon")
    image = build_image(here / IMAGE)
    digest = sha256_of(image)
    stage.console.print(f"{image}, {image.stat().st_size:,} bytes", highlight=False, soft_wrap=True)
    origin = Child("origin", [sys.executable, "-m", "spsd.testing.origin", image], here)
    stack.callback(origin.end)
    url = f"http{origin.line('http')}"
    config = here / "spsd.toml"
    config.write_text(CONFIG.format(state=here / "state", rate=RATE), encoding="utf-8")
    password = secrets.token_urlsafe(12)
    add_user(config, password)
    stage.type(f"cd {here}")
    stage.type("python -m spsd.testing.origin demo.iso &")
    stage.type(f"spsd user add {USER} --password-stdin --config spsd.toml")
    stage.type("spsd serve --config spsd.toml &")
    daemon = Child("daemon", [sys.executable, "-m", "spsd", "serve", "--config", config], here)
    stack.callback(daemon.end)
    base = daemon.line("spsd ready on ")
    stage.console.print(f"spsd ready on {base}", highlight=False)

    client = Client(base, here / CERTIFICATE)
    key = submit(stage, client, base, url, digest, password)
    body = follow(stage, client, base, key)
    compare(stage, image, here / "state" / "slots" / str(body["slot_id"]) / "image")
    list_and_remove(stage, client, base, key)
    if stage.keep:
        stage.heading("\nLeft running")
        stage.console.print(
            f"URL       {base}\nuser      {USER}\npassword  {password}\norigin    {url}\n"
            f"stop with kill {daemon.pid} {origin.pid} && rm -r {here}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


def build_image(path: Path) -> Path:
    """Make an ISO 9660 image with a version, notes, and random bytes."""
    facts = b'version = "1.2.3"\nupgrade_notes = "The image of scripts/demo."\n'
    payload = os.urandom(PAYLOAD)
    iso = pycdlib.PyCdlib()
    iso.new(vol_ident="SPSD_DEMO", joliet=3)
    iso.add_fp(io.BytesIO(facts), len(facts), "/FIRMWARE.TOM;1", joliet_path="/firmware.toml")
    iso.add_fp(io.BytesIO(payload), len(payload), "/PAYLOAD.BIN;1", joliet_path="/payload.bin")
    iso.write(str(path))
    iso.close()
    return path


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def add_user(config: Path, password: str) -> None:
    command = [sys.executable, "-m", "spsd", "user", "add", USER, "--password-stdin"]
    done = subprocess.run(
        [*command, "--config", config],
        input=password,
        text=True,
        capture_output=True,
        timeout=START_S,
        check=False,
    )
    if done.returncode != 0:
        raise DemoError(f"`spsd user add` failed: {done.stderr.strip()}")


def submit(stage: Stage, client: Client, base: str, url: str, digest: str, password: str) -> str:
    stage.heading("\nLog in; the session is a cookie")
    stage.type(
        f"curl --cacert {CERTIFICATE} -c cookies.txt -u {USER} \\\n    {base}/api/authentication"
    )
    client.call("GET", "/api/authentication", user=f"{USER}:{password}")
    stage.heading("\nRequest the image: its URL and its SHA-256")
    body = f'{{"url": "{url}",\n  "checksum": {{"sha256": "{digest}"}}}}'
    stage.type(
        f"echo '{body}' |\n"
        f'  curl --cacert {CERTIFICATE} -b cookies.txt -X POST --data "@-" \\\n'
        f"    {base}{FETCH}"
    )
    accepted = client.call("POST", FETCH, body=body)
    stage.response({"key": accepted["key"]})
    return str(accepted["key"])


def follow(stage: Stage, client: Client, base: str, key: str) -> dict[str, Any]:
    """Show a progress bar until the job has ended; gives its body.

    Raises:
        DemoError: it is not finished, or has not ended within FETCH_S.
    """
    stage.heading("\nPoll the progress")
    stage.type(f"curl --cacert {CERTIFICATE} -b cookies.txt \\\n    {base}{FETCH}/{key}")
    bar = Progress(
        TextColumn("{task.description:<11}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        console=stage.console,
        transient=True,
    )
    task = bar.add_task("queued", total=None)
    deadline = time.monotonic() + FETCH_S
    # A picture gets only the last frame of the bar.
    recording, stage.console.record = stage.console.record, False
    with bar:
        while True:
            body = dict(client.call("GET", f"{FETCH}/{key}")["body"])
            bar.update(
                task,
                description=body["status"],
                total=body["bytes_total"] or None,
                completed=body["bytes_downloaded"],
            )
            if body["status"] not in ("queued", "in-progress"):
                break
            if time.monotonic() > deadline:
                raise DemoError(f"the download is not over after {FETCH_S:.0f} s: {body}")
            time.sleep(0.1)
    stage.console.record = recording
    stage.console.print(bar.get_renderable())
    if body["status"] != "finished":
        raise DemoError(f"the download is {body['status']}: {body['error']}")
    stage.response(body)
    return body


def compare(stage: Stage, image: Path, installed: Path) -> None:
    stage.heading("\nCompare the image in the slot with that of the origin, byte by byte")
    shown = installed.relative_to(stage.directory)
    stage.type(f"cmp {IMAGE} {shown} && echo equal")
    if not filecmp.cmp(image, installed, shallow=False):
        raise DemoError(f"{installed} differs from {image}")
    stage.console.print("equal", style="green")


def list_and_remove(stage: Stage, client: Client, base: str, key: str) -> None:
    stage.heading(
        "\nList all downloads, and remove the record of this one; the slot keeps the image"
    )
    stage.type(f"curl --cacert {CERTIFICATE} -b cookies.txt {base}{FETCH}")
    listed = client.call("GET", FETCH)
    if key not in [item["key"] for item in listed["items"]]:
        raise DemoError(f"the list does not have the download {key}")
    stage.type(f"curl --cacert {CERTIFICATE} -b cookies.txt -X DELETE \\\n    {base}{FETCH}/{key}")
    if stage.keep:
        stage.console.print("(not done with --keep, so that the record stays)", highlight=False)
        return
    client.call("DELETE", f"{FETCH}/{key}")


if __name__ == "__main__":
    sys.exit(main())
