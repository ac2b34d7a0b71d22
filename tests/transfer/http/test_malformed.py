"""Bodies that break HTTP in the middle: an error of the origin, at once, and no byte is lost."""

import asyncio
import ssl

import pytest

from spsd.failures import FailureCode, OriginError
from spsd.system.certificate import ensure_self_signed
from spsd.transfer.http.addresses import AddressPolicy
from spsd.transfer.http.origin import Limits, open_origin
from spsd.transfer.http.tls import Trust
from spsd.transfer.rules.messages import RangeRequest
from spsd.transfer.rules.proxy import ProxySettings
from tests.transfer.http.wire import Script, wire

STALL_S = 20.0
AT_ONCE_S = 5.0
"""Far below the stall window, also on a busy machine."""
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
GOOD = b"5\r\nhello\r\n"
MALFORMED = {
    "size": b"z\r\n",
    "bare-line-feed": b"5\nhello\n",
    "size-too-long": b"f" * 40 + b"\r\n",
    "data-too-long": b"2\r\nhello\r\n",
    "no-end-of-chunk": b"5\r\nhelloxx",
    "trailer": b"0\r\nno colon\r\n\r\n",
    "trailer-name": b"0\r\nna me: x\r\n\r\n",
    "endless-trailer": b"0\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
    "error-page": b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nbad",
    "page": b"<html>502</html>\r\n",
    "zeros": bytes(100),
}
PAUSES = {"none": (), "short": (0.1,), "long": (0.6,)}
Way = str


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    certificate, key = ensure_self_signed(tmp_path_factory.mktemp("tls"), hostname="origin")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


async def received(
    script: Script, *, way: Way = "plain", tls: ssl.SSLContext | None = None, holds: bool = True
) -> tuple[bytes, OriginError | None]:
    """The bytes that came, and the error after them; the server does not close with ``holds``."""
    limits = Limits(
        connect_timeout_s=5,
        minimum_bytes_per_s=1,
        stall_window_s=STALL_S,
        rate_limit_bytes_per_s=0,
    )
    trust = await asyncio.to_thread(Trust.for_policy, "checksum", None)
    got, memory = b"", memoryview(bytearray(4096))
    async with wire(script, tls=tls if way == "TLS" else None, holds=holds) as server:
        proxy = server.url("") if way == "proxy" else None
        proxies = ProxySettings(proxy, proxy, ())
        url = "http://origin.test/a" if way == "proxy" else server.url()
        if way == "TLS":
            url = server.url(scheme="https")
        async with open_origin(AddressPolicy(["127.0.0.0/8"]), trust, limits, proxies) as origin:
            try:
                async with (
                    asyncio.timeout(AT_ONCE_S),
                    origin.open(url, RangeRequest()) as response,
                ):
                    while size := await response.read_into(memory):
                        got += memory[:size]
            except OriginError as error:
                return got, error
    return got, None


@pytest.mark.parametrize("way", ["plain", "TLS", "proxy"])
@pytest.mark.parametrize("pause", PAUSES)
async def test_a_malformed_chunk_is_an_error_of_the_origin_at_once(
    pause: str, way: Way, tls: ssl.SSLContext
) -> None:
    async def check(kind: str, before: int) -> None:
        script = [CHUNKED, *PAUSES[pause], GOOD * before, *PAUSES[pause], MALFORMED[kind]]
        got, error = await received(script, way=way, tls=tls)
        assert error is not None, kind
        assert error.code in (FailureCode.PROTOCOL, FailureCode.PROXY), (kind, error)
        assert error.transient
        if pause != "none":
            assert got.startswith(b"hello" * before), kind
        assert len(error.sentence()) < 1000

    await asyncio.gather(*(check(kind, before) for kind in MALFORMED for before in (0, 1, 300)))


@pytest.mark.parametrize("way", ["plain", "TLS"])
@pytest.mark.parametrize("end", [b"", b"5\r\nhe", b"5", b"0\r\n", b"0\r\nX: y\r\n"])
async def test_a_chunked_body_that_ends_early_is_cut_off(
    end: bytes, way: Way, tls: ssl.SSLContext
) -> None:
    got, error = await received([CHUNKED, 0.1, GOOD, 0.1, end], way=way, tls=tls, holds=False)
    assert error is not None
    assert error.code is FailureCode.CUT_OFF
    assert got.startswith(b"hello")
