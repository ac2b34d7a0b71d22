"""The fixture `hostile_origin`, as test authors use it, and the examples of docs/testing.md."""

import re
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from spsd.testing.origin import Hang, IgnoreRange, Origin, Status, ThreadedOrigin
from spsd.testing.plugin import StartOrigin, hostile_origin

__all__ = ["hostile_origin"]

DOCUMENT = Path(__file__).parents[2] / "docs" / "testing.md"


def run_pytest(directory: Path, text: str) -> "subprocess.CompletedProcess[str]":
    (directory / "test_example.py").write_text(text, encoding="utf-8")
    # Without this setting pytest-asyncio, if it is installed, warns.
    plugins = ("-p", "no:cacheprovider", "-o", "asyncio_default_fixture_loop_scope=function")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", *plugins, directory],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )


EXAMPLES = re.findall(r"^```python\n(.*?)^```", DOCUMENT.read_text("utf-8"), re.M | re.S)


def name_of(example: str) -> str:
    return re.findall(r"^(?:def|class) (\w+)", example, re.M)[-1]


@pytest.mark.parametrize("example", EXAMPLES, ids=name_of)
def test_examples_of_the_document_run(tmp_path: Path, example: str) -> None:
    done = run_pytest(tmp_path, example)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_an_example_can_fail(tmp_path: Path) -> None:
    example = next(text for text in EXAMPLES if name_of(text) == "test_a_cut_is_noticed")
    done = run_pytest(tmp_path, example.replace("CutAfter(1000)", "CutAfter(5000)"))
    assert done.returncode == 1
    assert "DID NOT RAISE" in done.stdout


def test_the_plugin_is_not_loaded_by_default(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, "def test_it(hostile_origin):\n    pass\n")
    assert done.returncode == 1
    assert "fixture 'hostile_origin' not found" in done.stdout


def test_several_origins_with_different_settings(hostile_origin: StartOrigin) -> None:
    bare = hostile_origin({"/a": b"first"}, validators=False)
    tagged = hostile_origin({"/a": b"second"}, Status(503), etag='"v1"')
    with urllib.request.urlopen(bare.url("/a")) as answer:
        assert answer.read() == b"first"
        assert answer.headers["ETag"] is None
    with pytest.raises(urllib.error.HTTPError, match="503") as caught:
        urllib.request.urlopen(tagged.url("/a"))
    caught.value.close()
    with urllib.request.urlopen(tagged.url("/a")) as answer:
        assert answer.headers["ETag"] == '"v1"'
    assert (bare.bytes_sent, tagged.bytes_sent) == (5, 6)


def test_script_and_objects_can_be_changed_while_it_runs(hostile_origin: StartOrigin) -> None:
    origin = hostile_origin({"/a": b"before"}, always=IgnoreRange())
    origin.script(Status(404))
    origin.swap("/a", b"after")
    with pytest.raises(urllib.error.HTTPError, match="404") as caught:
        urllib.request.urlopen(origin.url("/a"))
    caught.value.close()
    request = urllib.request.Request(origin.url("/a"), headers={"Range": "bytes=2-"})
    with urllib.request.urlopen(request) as answer:
        assert (answer.status, answer.read()) == (200, b"after")
    origin.wait_for_requests(2, timeout_s=10)
    with pytest.raises(TimeoutError):
        origin.wait_for_requests(3, timeout_s=0.05)


def test_close_with_a_hanging_client_leaves_no_thread() -> None:
    before = threading.active_count()
    with ThreadedOrigin(Origin({"/a": b"never"}, [Hang(0)])) as origin:
        port = int(origin.url("/").split(":")[2].strip("/"))
        client = socket.create_connection(("127.0.0.1", port))
        client.sendall(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
        origin.wait_for_requests(1, timeout_s=10)
    with client:
        while client.recv(1000):
            pass
    origin.close()
    assert threading.active_count() == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_start_waits_for_a_failed_thread_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread has reported its failure and still runs."""
    may_end = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        origin = ThreadedOrigin(Origin({}, port=taken.getsockname()[1]))
        set_exception = origin._ready.set_exception

        def set_exception_and_wait(error: BaseException) -> None:
            set_exception(error)
            may_end.wait()

        monkeypatch.setattr(origin._ready, "set_exception", set_exception_and_wait)
        threading.Timer(0.2, may_end.set).start()
        with pytest.raises(OSError, match="in use"):
            origin.start()
        origin.close()
        assert not origin._thread.is_alive()


def test_a_taken_port_is_an_error_and_leaves_no_thread() -> None:
    before = threading.active_count()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        origin = ThreadedOrigin(Origin({}, port=taken.getsockname()[1]))
        with pytest.raises(OSError, match="in use"):
            origin.start()
        origin.close()
    assert threading.active_count() == before
