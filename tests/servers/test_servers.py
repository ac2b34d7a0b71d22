"""Downloads from real HTTP servers, over connections that break."""

import asyncio
import hashlib
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from spsd.system.certificate import ensure_self_signed
from testbed import needs
from testbed.driver import Daemon, in_loop
from testbed.iso import build_iso
from testbed.servers import KINDS, Kind, Server, serving
from testbed.waiting import until
from tests.servers.relay import Relay

MIB = 1024 * 1024
SIZE = 5 * MIB
CUT = 2 * MIB
HEAD = 1024
"""The head of each response of these servers is shorter."""
FETCH = {"connections": 1}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return _image(tmp_path_factory, b"first")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return _image(tmp_path_factory, b"other")


def _image(factory: pytest.TempPathFactory, word: bytes) -> bytes:
    path = factory.mktemp("iso") / "image.iso"
    return build_iso(path, payload=word * (4 * MIB // len(word)), size=SIZE).read_bytes()


def _kind(name: str) -> Kind:
    needs.now(needs.program(name))
    return KINDS[name]


@pytest.fixture(params=sorted(KINDS))
def server(request: pytest.FixtureRequest, image: bytes) -> Iterator[Server]:
    with serving(_kind(request.param)) as running:
        running.put("image.iso", image)
        yield running


@pytest.fixture
def nginx(image: bytes) -> Iterator[Server]:
    with serving(_kind("nginx")) as running:
        running.put("image.iso", image)
        yield running


async def fetched(daemon: Daemon, url: str, content: bytes) -> None:
    digest = hashlib.sha256(content).hexdigest()
    body = await daemon.over(await daemon.submit(url, digest))
    assert body["status"] == "finished", body
    installed = await asyncio.to_thread(daemon.image(body["slot_id"]).read_bytes)
    assert installed == content


async def test_after_a_broken_connection_only_the_rest_is_requested(
    server: Server, image: bytes, tmp_path: Path
) -> None:
    async with (
        Relay(server.port, cuts=[CUT, MIB]) as relay,
        in_loop(tmp_path, fetch=FETCH) as daemon,
    ):
        await fetched(daemon, f"http://127.0.0.1:{relay.port}/image.iso", image)
    whole, *parts = relay.connections
    assert whole.request_header("Range") is None
    assert whole.request_header("Accept-Encoding") == "identity"
    etag = whole.response_header("ETag")
    assert etag is not None
    assert etag.startswith('"')
    assert [connection.status for connection in relay.connections] == [200, 206, 206]
    assert [part.request_header("If-Range") for part in parts] == [etag, etag]
    offsets = [
        int((part.request_header("Range") or "").removeprefix("bytes=")[:-1]) for part in parts
    ]
    assert CUT - HEAD < offsets[0] < CUT
    assert CUT + MIB - 2 * HEAD < offsets[1] < CUT + MIB
    assert SIZE < relay.received < SIZE + 3 * HEAD  # no byte of the image twice


async def test_without_a_validator_the_rest_is_requested_too(image: bytes, tmp_path: Path) -> None:
    with serving(_kind("lighttpd")) as lighttpd:
        lighttpd.put("image.of-no-type", image)
        async with (
            Relay(lighttpd.port, cuts=[CUT]) as relay,
            in_loop(tmp_path, fetch=FETCH) as daemon,
        ):
            await fetched(daemon, f"http://127.0.0.1:{relay.port}/image.of-no-type", image)
    assert [connection.status for connection in relay.connections] == [200, 206, 206]
    assert {connection.response_header("ETag") for connection in relay.connections} == {None}
    assert {connection.request_header("If-Range") for connection in relay.connections} == {None}
    # The beginning and the end of the prefix are fetched again and compared.
    window = 64 * 1024
    assert relay.connections[1].request_header("Range") == f"bytes=0-{window - 1}"
    assert relay.received < SIZE + 2 * window + 3 * HEAD


async def test_an_image_replaced_during_a_download_is_noticed(
    server: Server, image: bytes, other: bytes, tmp_path: Path
) -> None:
    """The new image has the same size; it is installed without a byte of the old one."""

    def replace() -> None:
        server.put("image.iso", other, age_s=60)

    async with (
        Relay(server.port, cuts=[CUT], at_cut=replace) as relay,
        in_loop(tmp_path, fetch=FETCH) as daemon,
    ):
        await fetched(daemon, f"http://127.0.0.1:{relay.port}/image.iso", other)
    assert [connection.status for connection in relay.connections] == [200, 200]
    assert relay.connections[1].request_header("If-Range") == relay.connections[0].response_header(
        "ETag"
    )
    assert relay.received < CUT + SIZE + 2 * HEAD


async def test_a_server_killed_and_restarted_during_a_download(
    server: Server, image: bytes, tmp_path: Path
) -> None:
    settings = FETCH | {"attempts": 500}
    async with (
        Relay(server.port, cuts=[CUT], at_cut=lambda: server.end(signal.SIGKILL)) as relay,
        in_loop(tmp_path, fetch=settings) as daemon,
    ):
        digest = hashlib.sha256(image).hexdigest()
        key = await daemon.submit(f"http://127.0.0.1:{relay.port}/image.iso", digest)
        await until(lambda: len(relay.connections) >= 3)  # at least one attempt is refused
        await asyncio.to_thread(server.start)
        body = await daemon.over(key)
        assert body["status"] == "finished", body
    assert relay.connections[-1].status == 206
    assert relay.received < SIZE + 2 * HEAD


async def test_https_with_a_certificate_of_its_own(image: bytes, tmp_path: Path) -> None:
    pair = await asyncio.to_thread(ensure_self_signed, tmp_path, hostname="localhost")
    with serving(_kind("nginx"), keys=pair) as nginx:
        nginx.put("image.iso", image)
        async with (
            # The first connection ends in the handshake, for the certificate does not verify.
            Relay(nginx.port, cuts=[None, CUT]) as relay,
            in_loop(tmp_path, fetch=FETCH) as daemon,
        ):
            await fetched(daemon, f"https://127.0.0.1:{relay.port}/image.iso", image)
            with closing(sqlite3.connect(daemon.state / "spsd.sqlite")) as database:
                rows = database.execute("SELECT evidence FROM job_history WHERE cause = 'verify'")
                assert "tls not verified (self-signed certificate)" in rows.fetchone()[0]
        log = nginx.log()
    assert log[0] == '200 "-" "-"'
    status, requested_range, if_range = log[-1].split()
    assert (status, if_range[:5]) == ("206", '"\\x22')  # nginx escapes quotes in its log
    # An incomplete TLS record cannot be read: up to 16 KiB are fetched twice.
    assert CUT - 100_000 < int(requested_range.removeprefix('"bytes=').removesuffix('-"')) < CUT
    assert relay.received < SIZE + 100_000


async def test_a_redirect_is_followed_again_after_a_broken_connection(
    nginx: Server, image: bytes, tmp_path: Path
) -> None:
    async with (
        Relay(nginx.port, cuts=[10_000, CUT]) as relay,
        in_loop(tmp_path, fetch=FETCH) as daemon,
    ):
        await fetched(daemon, f"http://127.0.0.1:{relay.port}/old.iso", image)
    assert [connection.status for connection in relay.connections] == [302, 200, 302, 206]
    etag = relay.connections[1].response_header("ETag")
    assert relay.connections[3].request_header("If-Range") == etag
    assert relay.received < SIZE + 4 * HEAD
