"""The addresses that a daemon process listens on."""

import socket
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from testbed.driver import running


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="needs IPv6 on loopback")


async def responds(host: str, port: int, *, tls: bool) -> bool:
    """Whether a client gets a response of the daemon at this address."""
    url = URL.build(scheme="https" if tls else "http", host=host, port=port, path="/api")
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as client:
        try:
            async with client.get(url) as response:
                return response.status == 401
        except aiohttp.ClientConnectorError:
            return False


@needs_ipv6
@pytest.mark.parametrize("tls", [False, True])
async def test_the_unspecified_address_of_ipv6_listens_on_ipv4_too(
    tmp_path: Path, tls: bool
) -> None:
    async with running(tmp_path, tls=tls, server={"host": "::"}) as daemon:
        scheme = "https" if tls else "http"
        url = URL(daemon.url)
        # The ready line holds a URL, as for every other address.
        assert daemon.url == f"{scheme}://[::]:{url.port}"
        assert url.port is not None
        assert await responds("127.0.0.1", url.port, tls=tls)
        assert await responds("::1", url.port, tls=tls)


@needs_ipv6
@pytest.mark.parametrize(
    ("host", "ipv4", "ipv6"),
    [("0.0.0.0", True, False), ("127.0.0.1", True, False), ("::1", False, True)],
)
async def test_every_other_address_listens_on_itself_alone(
    tmp_path: Path, host: str, ipv4: bool, ipv6: bool
) -> None:
    async with running(tmp_path, server={"host": host}) as daemon:
        port = URL(daemon.url).port
        assert port is not None
        assert await responds("127.0.0.1", port, tls=False) is ipv4
        assert await responds("::1", port, tls=False) is ipv6
