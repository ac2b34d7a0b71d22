"""The log of a running daemon: a line per transition, documented fields, and no secrets."""

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from spsd.jobs.lifecycle import JobState, Trigger
from spsd.system.logs import FIELDS
from spsd.testing.client import Client
from spsd.testing.daemon import PASSWORD, DaemonProcess
from spsd.testing.origin import (
    Act,
    CutAfter,
    Gzip,
    Html,
    Origin,
    Redirect,
    Refuse,
    Status,
    ThreadedOrigin,
    TooLong,
    Whole,
)
from testbed.waiting import wait_for

DOCS = Path(__file__).parents[2] / "docs"
FETCH = "/api/firmware/fetch"
CONTENT = b"an image" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
LIMIT_S = 20.0

# Each is passed in a place that may hold a secret; none may be logged.
USER, WORD, QUERY, FRAGMENT = "user-5ecre7", "word-5ecre7", "query-5ecre7", "fragment-5ecre7"
MIRROR, MOVED, BEARER, COOKIE = "mirror-5ecre7", "moved-5ecre7", "bearer-5ecre7", "cookie-5ecre7"
WRONG, PROXY, TOKEN, ODD = "wrong-5ecre7", "proxy-5ecre7", "token-5ecre7-0123", "odd-5ecre7"


def url(port: int, path: str = "/a") -> str:
    return f"http://{USER}:{WORD}@127.0.0.1:{port}{path}?sig={QUERY}#{FRAGMENT}"


def submit(client: Client, source: str, digest: str, *mirrors: str) -> str:
    body = {"url": source, "checksum": {"sha256": digest}, "mirrors": list(mirrors)}
    answer = client.call("POST", FETCH, json_body=body)
    assert answer.status == 202, answer.content
    return answer.document["key"]


def over(client: Client, key: str) -> dict:
    return wait_for(
        lambda: client.call("GET", f"{FETCH}/{key}").document["body"],
        lambda body: body["status"] in ("finished", "failed", "cancelled"),
    )


@pytest.fixture
def origins() -> Iterator[list[ThreadedOrigin]]:
    """One origin for each way in which a job can fail, and one that serves the image."""
    moved = f"http://{MOVED}:{MOVED}@127.0.0.1:1/b?token={MOVED}#{MOVED}"
    acts: list[Act] = [
        Status(404),
        Status(401),
        Redirect(moved),
        Redirect(f"ftp://{MOVED}:{MOVED}@host/{'a' * 10}?{MOVED}"),
        Redirect(f"/a?token={MOVED}"),
        Html("<html>log in</html>"),
        Gzip(),
        CutAfter(10),
        TooLong(10),
        Refuse(),
        Whole(),
    ]
    with ExitStack() as stack:
        yield [
            stack.enter_context(ThreadedOrigin(Origin({"/a": CONTENT}, always=act))) for act in acts
        ]


def use_secrets(daemon: DaemonProcess, origins: list[ThreadedOrigin]) -> list[str]:
    """Pass secrets to the daemon wherever it accepts them; gives the keys of the jobs."""
    client = daemon.client()
    ports = [int(origin.url("/").rpartition(":")[2].strip("/")) for origin in origins]
    digests = [f"{number:064x}" for number in range(1, len(ports))]
    mirror = f"http://{MIRROR}:{MIRROR}@127.0.0.1:{ports[0]}/m?{MIRROR}"
    keys = [
        submit(client, url(port), digest, mirror)
        for port, digest in zip(ports, digests, strict=False)
    ]
    keys.append(submit(client, url(ports[-1]), DIGEST))
    keys.append(submit(client, f"http://{USER}:{WORD}@nowhere.invalid/a?{QUERY}", "c" * 64))
    keys.append(submit(client, f"https://{USER}:{WORD}@127.0.0.1:{ports[-2]}/?{QUERY}", "d" * 64))
    keys.append(submit(client, f"http://{USER}:{WORD}@169.254.1.1/?{QUERY}", "e" * 64))
    ends = {over(client, key)["status"] for key in keys}
    assert ends == {"failed", "finished"}
    assert client.call("DELETE", f"{FETCH}/{keys[0]}").status == 200
    unknown = daemon.client(user=None)
    assert unknown.log_in("operator", WRONG).status == 401
    odd = {"Authorization": f"Bearer {BEARER}", "Cookie": f"session_id={COOKIE}; x={COOKIE}"}
    for path in (FETCH, f"/api/info?{ODD}", f"/nowhere?{ODD}", "/metrics"):
        unknown.call("GET", path, headers={**odd, "Forwarded": "for=192.0.2.1"})
    broken = f"http://{ODD}:{ODD}@[::1/{ODD}"
    for bad in (broken, {"url": broken}, f"x://{ODD}@h/"):
        body = {"url": bad, "checksum": {"sha256": "a" * 64}}
        assert client.call("POST", FETCH, json_body=body).status == 400
    client.call("POST", FETCH, content=f"{ODD} is no JSON".encode())
    client.call("POST", "/api/upload/firmware", content=b"no image", headers={"X-Token": ODD})
    daemon.restart()
    over(daemon.client(), keys[-1])
    return keys


@pytest.mark.parametrize("form", ["json", "text"])
def test_no_secret_is_in_the_log(tmp_path: Path, origins: list[ThreadedOrigin], form: str) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(0o600)
    settings = {
        "log": {"format": form},
        "metrics": {"token_file": str(file)},
        "slots": {"accept": "any", "count": 32},  # one for each job
        "fetch": {"concurrent": 32, "attempts": 2, "stall_window_s": 1, "allow": ["127.0.0.0/8"]},
    }
    with DaemonProcess(tmp_path, settings) as daemon:
        keys = use_secrets(daemon, origins)
        daemon.stop()
        log = daemon.log.read_text(encoding="utf-8")
    # Every job must be in the log; otherwise the absence of secrets means nothing.
    assert [key for key in keys if log.count(key) < 3] == []
    assert "127.0.0.1" in log
    for secret in (PASSWORD, "5ecre7", "Traceback"):
        assert secret not in log, [line for line in log.splitlines() if secret in line]


def test_a_proxys_password_is_not_in_the_log(tmp_path: Path) -> None:
    settings = {"fetch": {"proxy": f"http://{PROXY}:{PROXY}@127.0.0.1:9", "attempts": 2}}
    with DaemonProcess(tmp_path, settings) as daemon:
        client = daemon.client()
        body = over(client, submit(client, "http://host.invalid/a", DIGEST))
        assert body["error"].startswith("proxy: ")
        daemon.stop()
        log = daemon.log.read_text(encoding="utf-8")
    assert "127.0.0.1:9" in log
    assert PROXY not in log


def test_each_line_is_an_object_with_the_documented_fields(
    tmp_path: Path, origins: list[ThreadedOrigin]
) -> None:
    settings = {"log": {"format": "json"}, "slots": {"accept": "any"}}
    with DaemonProcess(tmp_path, settings) as daemon:
        client = daemon.client()
        good = submit(client, origins[-1].url("/a"), DIGEST)
        assert over(client, good)["status"] == "finished"
        bad = submit(client, origins[0].url("/a"), "b" * 64)
        assert over(client, bad)["status"] == "failed"
        assert client.call("DELETE", f"{FETCH}/{bad}").status == 200
        daemon.stop()
        lines = [json.loads(line) for line in daemon.log.read_text().splitlines()]
    documented = re.findall(r"^\| `(\w+)` \|", (DOCS / "logs.md").read_text(), re.MULTILINE)
    names = [name for name in documented if name not in ("auto", "text", "json")]
    assert {name for line in lines for name in line} <= set(names)
    assert set(FIELDS) <= set(names)
    logged = {
        key: [
            (line["action"], line.get("state"), line.get("code"))
            for line in lines
            if line.get("job") == key and line["logger"] != "spsd.audit"
        ]
        for key in (good, bad)
    }
    assert logged[good] == [
        ("submit", "queued", None),
        ("start", "downloading", None),
        ("verify", "installing", None),
        ("install", "finished", None),
    ]
    assert logged[bad] == [
        ("submit", "queued", None),
        ("start", "downloading", None),
        ("fail", "failed", "origin_status"),
        ("remove", None, None),
    ]
    audit = [(line["event"], line.get("job")) for line in lines if line["logger"] == "spsd.audit"]
    assert audit == [("log-in", None), ("submit", good), ("submit", bad), ("remove", bad)]
    assert {line["user"] for line in lines if "user" in line} == {"operator"}


def test_in_the_journal_each_line_has_its_priority(tmp_path: Path) -> None:
    log = tmp_path / "daemon.log"
    log.touch()
    status = log.stat()
    environ = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
    with DaemonProcess(tmp_path, {}, environ) as daemon:
        client = daemon.client()
        over(client, submit(client, "http://127.0.0.1:9/a", DIGEST))
        daemon.stop()
        lines = log.read_text().splitlines()
    assert {line[:3] for line in lines} == {"<4>", "<6>"}
    assert [line for line in lines if not re.match(r"<\d>spsd\.[\w.]+: ", line)] == []


def test_the_option_log_format_overrides_the_configuration(tmp_path: Path) -> None:
    daemon = DaemonProcess(tmp_path, {"log": {"format": "text"}})
    daemon.configure()
    command = [sys.executable, "-m", "spsd", "serve", "--log-format", "json"]
    with subprocess.Popen(
        [*command, "--config", str(daemon.config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("spsd ready on ")
        process.terminate()
        _, log = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0
    assert "stopping" in [json.loads(line)["message"] for line in log.splitlines()]


def test_triggers_and_states_of_the_log_are_documented() -> None:
    text = (DOCS / "logs.md").read_text(encoding="utf-8")
    assert [word for word in (*Trigger, *JobState) if f"`{word}`" not in text] == []
