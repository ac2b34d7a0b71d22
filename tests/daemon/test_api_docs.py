"""The examples of docs/api.md: each operation has one, and each works with a running daemon."""

import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from spsd.testing.client import Client
from spsd.testing.daemon import PASSWORD, USER, DaemonProcess
from spsd.testing.origin import Origin, ThreadedOrigin
from spsd.web.routes import OPERATIONS
from testbed import needs
from testbed.iso import build_iso
from testbed.waiting import wait_for

TEXT = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
SECTION = re.compile(r"^### (GET|POST|DELETE) (\S+)\n(.*?)(?=^##|\Z)", re.DOTALL | re.MULTILINE)
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
KEY = re.compile(r'"key": ?"([0-9a-f-]{36})"')
TOKEN = "0123456789abcdef"
LIMIT_S = 20.0
STREAM = "text/event-stream"
STREAM_LIMIT_S = 2
TIMED_OUT = 28
"""Exit status of curl at its time limit, which is how a stream ends."""


@dataclass(frozen=True)
class Example:
    method: str
    path: str
    command: str


EXAMPLES = [
    Example(method, path, command)
    for method, path, body in SECTION.findall(TEXT)
    for command in BLOCK.findall(body)
]


def test_every_operation_is_documented_and_has_an_example() -> None:
    documented = [(method, path) for method, path, _ in SECTION.findall(TEXT)]
    # The parts of the web pages are for browsers only.
    parts = ("/ui/", "/api/docs/")
    served = {(o.method, o.path) for o in OPERATIONS if not o.path.startswith(parts)}
    assert sorted(documented) == sorted(served)
    assert {(e.method, e.path) for e in EXAMPLES} == served, "each has an example"


def calls(command: str) -> list[str]:
    """The curl commands of a block, each as one line."""
    joined = command.replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.startswith("curl ")]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: f"{e.method} {e.path}")
def test_each_example_calls_its_operation(example: Example) -> None:
    commands = calls(example.command)
    assert commands
    for call in commands:
        path = re.search(r"\$spsd(/[^\s?\"]*)", call)
        assert path is not None, call
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(example.path))
        assert re.fullmatch(pattern, path[1]), call
        method = re.search(r"-X (\w+)", call)
        posts = " --data " in call or " -F " in call
        assert (method[1] if method else "POST" if posts else "GET") == example.method


def wait(client: Client, key: str) -> None:
    body = wait_for(
        lambda: client.call("GET", f"/api/firmware/fetch/{key}").document["body"],
        lambda body: body["status"] not in ("queued", "in-progress"),
    )
    assert body["status"] == "finished", body


def run(script: str, directory: Path) -> str:
    """The output of an example, which must succeed; a stream ends at the time limit."""
    streams = STREAM in script
    if streams:
        script = script.replace("curl ", f"curl --max-time {STREAM_LIMIT_S} ")
    completed = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=directory,
        env={"PATH": os.environ["PATH"], "CURL_HOME": str(directory), "no_proxy": "*"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    report = f"{script}\n{completed.stdout}\n{completed.stderr}"
    assert completed.returncode == (TIMED_OUT if streams else 0), report
    assert not streams or "\nevent: " in completed.stdout, report
    return completed.stdout


@needs.program("curl")
def test_the_examples_work(tmp_path: Path) -> None:
    content = build_iso(tmp_path / "fetched.iso").read_bytes()
    brought = build_iso(tmp_path / "appliance-2.iso", version="2.6.0").read_bytes()
    token = tmp_path / "metrics.token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    (tmp_path / ".curlrc").write_text("silent\nshow-error\nfail-with-body\nmax-time = 60\n")
    settings = {"server": {"plain_http": False}, "metrics": {"token_file": str(token)}}
    with (
        ThreadedOrigin(Origin({"/appliance-2.iso": content})) as origin,
        DaemonProcess(tmp_path, settings) as daemon,
    ):
        shutil.copy(daemon.state / "tls" / "certificate.pem", tmp_path / "certificate.pem")
        replaced = {
            "https://appliance:8443": daemon.url,
            "-u admin": f"-u '{USER}:{PASSWORD}'",
            "https://images.example.org/appliance-2.iso": origin.url("/appliance-2.iso"),
            "https://mirror.example.org/appliance-2.iso": origin.url("/appliance-2.iso"),
            re.search(r'"sha256": "(\w+)"', TEXT)[1]: hashlib.sha256(content).hexdigest(),
        }
        first = BLOCK.search(TEXT)
        assert first is not None
        prelude = first[1]
        key = ""
        for example in EXAMPLES:
            script = prelude + example.command
            for old, new in replaced.items():
                script = script.replace(old, new)
            output = run(script.replace("KEY", key), tmp_path)
            if example.method == "POST" and example.path == "/api/firmware/fetch":
                accepted = KEY.search(output)
                assert accepted is not None, output
                key = accepted[1]
                wait(_with_cookie(daemon, tmp_path), key)
        assert not daemon.slot_image(1).exists()
        assert daemon.slot_image(2).read_bytes() == brought
        assert _with_cookie(daemon, tmp_path).call("GET", "/api").status == 401, "logged out"


def _with_cookie(daemon: DaemonProcess, directory: Path) -> Client:
    """A client in the examples' own session."""
    jar = (directory / "cookies.txt").read_text()
    cookie = re.search(r"session_id\t(\w+)", jar)
    assert cookie is not None
    client = daemon.client(user=None)
    client.cookie = f"session_id={cookie[1]}"
    return client
