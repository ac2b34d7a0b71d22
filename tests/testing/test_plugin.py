"""The hostile origin as other people's tests use it."""

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
from spsd.testing.plugin import Serve, hostile_origin

__all__ = ["hostile_origin"]

DOCUMENT = Path(__file__).parents[2] / "docs" / "testing.md"


def pytest_run(directory: Path, text: str) -> "subprocess.CompletedProcess[str]":
    (directory / "test_example.py").write_text(text, encoding="utf-8")
    # pytest-asyncio, where it is installed, warns unless it is told this.
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
def test_the_examples_of_the_document_run(tmp_path: Path, example: str) -> None:
    done = pytest_run(tmp_path, example)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_an_example_can_fail(tmp_path: Path) -> None:
    example = next(one for one in EXAMPLES if name_of(one) == "test_a_cut_is_noticed")
    done = pytest_run(tmp_path, example.replace("CutAfter(1000)", "CutAfter(5000)"))
    assert done.returncode == 1
    assert "DID NOT RAISE" in done.stdout


def test_nobody_gets_the_plugin_who_does_not_ask_for_it(tmp_path: Path) -> None:
    done = pytest_run(tmp_path, "def test_it(hostile_origin):\n    pass\n")
    assert done.returncode == 1
    assert "fixture 'hostile_origin' not found" in done.stdout


def test_several_origins_with_settings_of_their_own(hostile_origin: Serve) -> None:
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


def test_the_script_and_the_objects_can_change_on_the_way(hostile_origin: Serve) -> None:
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


def test_it_ends_with_a_client_hanging_and_leaves_no_thread() -> None:
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


def test_a_thread_that_is_slow_to_end_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has told of its failure, and still runs."""
    told = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        origin = ThreadedOrigin(Origin({}, port=taken.getsockname()[1]))
        tell = origin._ready.set_exception

        def tell_and_dawdle(error: BaseException) -> None:
            tell(error)
            told.wait()

        monkeypatch.setattr(origin._ready, "set_exception", tell_and_dawdle)
        threading.Timer(0.2, told.set).start()
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
