"""Each call of docs/api.md, as it stands there, against a real daemon; and none is missing."""

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
"""curl's exit status; nothing else ends a stream."""


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


def test_every_operation_stands_there() -> None:
    told = [(method, path) for method, path, _ in SECTION.findall(TEXT)]
    # What the page is made of is for a browser alone.
    parts = ("/ui/", "/api/docs/")
    served = {(one.method, one.path) for one in OPERATIONS if not one.path.startswith(parts)}
    assert sorted(told) == sorted(served)
    assert {(one.method, one.path) for one in EXAMPLES} == served, "each has an example"


def calls(command: str) -> list[str]:
    """The curl commands of a block, each on a line."""
    joined = command.replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.startswith("curl ")]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: f"{one.method} {one.path}")
def test_each_example_is_of_its_operation(example: Example) -> None:
    found = calls(example.command)
    assert found
    for call in found:
        path = re.search(r"\$spsd(/[^\s?\"]*)", call)
        assert path is not None, call
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(example.path))
        assert re.fullmatch(pattern, path[1]), call
        sends = re.search(r"-X (\w+)", call)
        posts = " --data " in call or " -F " in call
        assert (sends[1] if sends else "POST" if posts else "GET") == example.method


def wait(client: Client, key: str) -> None:
    body = wait_for(
        lambda: client.call("GET", f"/api/firmware/fetch/{key}").document["body"],
        lambda body: body["status"] not in ("queued", "in-progress"),
    )
    assert body["status"] == "finished", body


def run(script: str, directory: Path) -> str:
    """What the example prints; a stream is read for a while, all else has to end well."""
    streams = STREAM in script
    if streams:
        script = script.replace("curl ", f"curl --max-time {STREAM_LIMIT_S} ")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=directory,
        env={"PATH": os.environ["PATH"], "CURL_HOME": str(directory), "no_proxy": "*"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    told = f"{script}\n{done.stdout}\n{done.stderr}"
    assert done.returncode == (TIMED_OUT if streams else 0), told
    assert not streams or "\nevent: " in done.stdout, told
    return done.stdout


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
            told = run(script.replace("KEY", key), tmp_path)
            if example.method == "POST" and example.path == "/api/firmware/fetch":
                found = KEY.search(told)
                assert found is not None, told
                key = found[1]
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
