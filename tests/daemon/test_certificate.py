"""The certificate of a running daemon: renewal in time, and what a reload reads again."""

import asyncio
import shutil
import signal
import ssl
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from yarl import URL

from spsd.clock import Clock
from spsd.daemon import open_daemon
from spsd.limits import Limits
from spsd.system.certificate import ensure_self_signed
from testbed.daemons import APPLIANCE, prepare, settings
from testbed.driver import running
from testbed.waiting import until_seen
from tests.daemon.test_reload import Manager

START = 1_900_000_000
DAY_S = 86_400
OFTEN = Limits(certificate_every_s=0.01, shutdown_s=0.5, linger_s=0.5)


async def certificate_of(url: str) -> x509.Certificate:
    """The certificate that the server presents in a handshake."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection(URL(url).host, URL(url).port, ssl=context)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return x509.load_der_x509_certificate(der)


class Running:
    """A daemon over TLS in the event loop of the test, with a clock that the test sets."""

    def __init__(self, root: Path) -> None:
        self.seconds = START
        self.root = root
        self.names: list[str] = []

    async def open(self, stack: AsyncExitStack, **server: object) -> str:
        await prepare(self.root)
        daemon = await stack.enter_async_context(
            open_daemon(
                settings(self.root, server={"plain_http": False} | server),
                appliance=replace(APPLIANCE, other_names=lambda: self.names),
                clock=Clock(lambda: self.seconds, time.monotonic),
                limits=OFTEN,
            )
        )
        return daemon.url


@pytest.fixture
def daemon(tmp_path: Path) -> Running:
    return Running(tmp_path / "state")


async def test_it_is_renewed_while_the_daemon_runs(daemon: Running) -> None:
    async with AsyncExitStack() as stack:
        url = await daemon.open(stack)
        first = await certificate_of(url)
        context = ssl.create_default_context(cafile=daemon.root / "tls/certificate.pem")
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # the appliance's clock is not that of this machine
        reader, writer = await asyncio.open_connection(URL(url).host, URL(url).port, ssl=context)
        daemon.seconds += 367 * DAY_S
        second = await until_seen(lambda: certificate_of(url), lambda found: found != first)
        assert second.public_key() == first.public_key()
        now = datetime.fromtimestamp(daemon.seconds, UTC)
        assert second.not_valid_before_utc < now < second.not_valid_after_utc - timedelta(days=30)
        stored = (daemon.root / "tls/certificate.pem").read_bytes()
        assert x509.load_pem_x509_certificate(stored) == second
        # A connection from before continues.
        writer.write(b"GET /api HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 ")
        writer.close()


async def test_the_clock_of_an_appliance_is_set_after_the_start(daemon: Running) -> None:
    async with AsyncExitStack() as stack:
        daemon.seconds = 30
        url = await daemon.open(stack)
        first = await certificate_of(url)
        daemon.seconds = START
        second = await until_seen(lambda: certificate_of(url), lambda found: found != first)
        assert second.not_valid_after_utc > datetime.fromtimestamp(START, UTC)


async def test_the_network_comes_after_the_start(daemon: Running) -> None:
    async with AsyncExitStack() as stack:
        url = await daemon.open(stack)
        first = await certificate_of(url)
        daemon.names = ["10.0.0.7"]
        second = await until_seen(lambda: certificate_of(url), lambda found: found != first)
        names = second.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert "10.0.0.7" in map(str, names.get_values_for_type(x509.IPAddress))


async def test_a_renewal_that_cannot_be_written_is_logged_once_and_tried_again(
    daemon: Running, caplog: pytest.LogCaptureFixture
) -> None:
    async with AsyncExitStack() as stack:
        url = await daemon.open(stack)
        first = await certificate_of(url)
        shutil.rmtree(daemon.root / "tls")
        (daemon.root / "tls").write_bytes(b"a file")

        async def lines() -> list[str]:
            return [record.message for record in caplog.records if "not renewed" in record.message]

        # A check while the folder is removed finds another fault: the key is missing.
        place = f"{daemon.root / 'tls'}: no certificate can be created"
        await until_seen(lines, lambda found: any(place in line for line in found))
        assert await certificate_of(url) == first
        (daemon.root / "tls").unlink()
        await until_seen(lambda: certificate_of(url), lambda found: found != first)
        found = await lines()
        assert len(found) == len(set(found))


async def test_the_operators_certificate_is_read_again_at_a_reload(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    manager = Manager(tmp_path / "notify")
    files = tmp_path / "own"
    certificate, key = await asyncio.to_thread(ensure_self_signed, files, hostname="first")
    server = {"certificate": str(certificate), "key": str(key)}
    async with running(tmp_path, tls=True, server=server, environ=manager.environ) as daemon:
        await manager.message("READY=1")
        first = await certificate_of(daemon.url)
        other = await asyncio.to_thread(ensure_self_signed, tmp_path / "two", hostname="second")
        # Half of a renewal: the pair does not fit, and nothing is changed.
        shutil.copy(other[0], certificate)
        assert "could not be read again" in await manager.reload(daemon, attempts=7)
        assert await certificate_of(daemon.url) == first
        shutil.copy(other[1], key)
        assert "configuration read again" in await manager.reload(daemon)
        second = await certificate_of(daemon.url)
        assert second == x509.load_pem_x509_certificate(other[0].read_bytes())
        assert (await daemon.call("GET", "/api/info"))[0] == 200
    manager.socket.close()
    log = capfd.readouterr().err
    assert f"the configuration was not changed: {key}: does not belong to" in log
    assert log.count("new certificate in use, SHA-256 fingerprint") == 1


async def test_configured_names_are_in_the_self_signed_one(tmp_path: Path) -> None:
    server = {"certificate_names": ["firmware.example", "192.0.2.77"]}
    async with running(tmp_path, tls=True, server=server) as daemon:
        found = await certificate_of(daemon.url)
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert "firmware.example" in names.get_values_for_type(x509.DNSName)
        assert "192.0.2.77" in map(str, names.get_values_for_type(x509.IPAddress))
        # It is the same after a restart with other names of the machine.
        assert await daemon.stop() == 0
        await daemon.start()
        assert await certificate_of(daemon.url) == found
        assert await daemon.end(signal.SIGTERM) == 0
    left = sorted(path.name for path in (tmp_path / "state/tls").iterdir())
    assert left == ["certificate.pem", "key.pem"]
