"""Reading bodies from an origin over a real connection: from the transport, parsed, over TLS."""

import asyncio
import ssl
from typing import Literal

import pytest

from spsd.failures import FailureCode, OriginError
from spsd.system.certificate import ensure_self_signed
from spsd.testing.origin import Act, Chunked, CutAfter, Drip, Hang, NoLength, Origin, Whole
from spsd.transfer.http.addresses import AddressPolicy
from spsd.transfer.http.origin import Limits, open_origin
from spsd.transfer.http.tls import Trust
from spsd.transfer.rules.messages import RangeRequest

CONTENT = bytes(range(256)) * 40
LONG = bytes(range(256)) * 20_000
STALL_S = 1.5
Way = Literal["straight", "TLS"]
every_way = pytest.mark.parametrize("way", ["straight", "TLS"])
every_form = pytest.mark.parametrize("form", [Whole(), Chunked(), NoLength()])


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    certificate, key = ensure_self_signed(tmp_path_factory.mktemp("tls"), hostname="origin")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


async def reads(
    act: Act,
    *,
    buffer_bytes: int,
    way: Way = "straight",
    tls: ssl.SSLContext | None = None,
    content: bytes = CONTENT,
    when: list[float] | None = None,
) -> tuple[list[int], OriginError | None]:
    """The bytes of each read and the error at the end; the times are added to ``when``."""
    limits = Limits(
        connect_timeout_s=5, minimum_bytes_per_s=1, stall_window_s=STALL_S, rate_limit_bytes_per_s=0
    )
    trust = await asyncio.to_thread(Trust.for_policy, "checksum", None)
    sizes, got, memory = [], b"", memoryview(bytearray(buffer_bytes))
    async with (
        Origin(
            {"/a": content},
            [act],
            ssl_context=tls if way == "TLS" else None,
        ) as server,
        open_origin(AddressPolicy(["127.0.0.0/8"]), trust, limits) as origin,
        origin.open(server.url("/a"), RangeRequest()) as response,
    ):
        try:
            while size := await response.read_into(memory):
                sizes.append(size)
                if when is not None:
                    when.append(asyncio.get_running_loop().time())
                got += memory[:size]
        except OriginError as error:
            assert content.startswith(got)
            return sizes, error
    assert got == content
    return sizes, None


@every_way
@every_form
@pytest.mark.parametrize("buffer_bytes", [1000, 4096, 1_000_000])
async def test_a_buffer_is_filled(
    buffer_bytes: int, form: Act, way: Way, tls: ssl.SSLContext
) -> None:
    sizes, error = await reads(form, buffer_bytes=buffer_bytes, way=way, tls=tls)
    assert error is None
    full, rest = divmod(len(CONTENT), buffer_bytes)
    assert sizes == [buffer_bytes] * full + [rest] * (rest > 0)


@every_way
@every_form
async def test_every_byte_of_a_long_body_comes(form: Act, way: Way, tls: ssl.SSLContext) -> None:
    """Many buffers, many iterations of the loop, and an origin that closes after its last byte."""
    sizes, error = await reads(form, buffer_bytes=64 * 1024 - 1, way=way, tls=tls, content=LONG)
    assert error is None
    assert sum(sizes) == len(LONG)


@every_way
async def test_received_bytes_are_returned_while_the_origin_hangs(
    way: Way, tls: ssl.SSLContext
) -> None:
    """Otherwise received bytes would be neither written nor counted until the stall."""
    returned_at: list[float] = []
    sizes, error = await reads(Hang(1000), buffer_bytes=4096, way=way, tls=tls, when=returned_at)
    ended = asyncio.get_running_loop().time()
    assert sizes == [1000]
    assert error is not None
    assert error.code is FailureCode.STALL
    assert ended - returned_at[0] > STALL_S / 2


@every_way
async def test_a_drip_is_returned_in_parts(way: Way, tls: ssl.SSLContext) -> None:
    sizes, error = await reads(Drip(1024, 0.1), buffer_bytes=1_000_000, way=way, tls=tls)
    assert error is None
    assert len(sizes) > 1


@every_way
@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("cut", [0, 1500, 200_000])
async def test_bytes_before_a_broken_connection_are_returned_before_its_error(
    cut: int, reset: bool, way: Way, tls: ssl.SSLContext
) -> None:
    sizes, error = await reads(
        CutAfter(cut, reset=reset), buffer_bytes=1000, way=way, tls=tls, content=LONG
    )
    assert error is not None
    assert error.code is FailureCode.CUT_OFF
    # A reset may discard bytes in transit: TCP does not promise more.
    assert sum(sizes) == cut or (reset and sum(sizes) < cut)


async def test_a_cancelled_read_does_not_write_to_the_buffer(tls: ssl.SSLContext) -> None:
    """After a cancellation the caller may use the memory for something else."""
    memory = bytearray(1_000_000)
    limits = Limits(
        connect_timeout_s=5, minimum_bytes_per_s=1, stall_window_s=60, rate_limit_bytes_per_s=0
    )
    trust = await asyncio.to_thread(Trust.for_policy, "checksum", None)
    async with (
        Origin({"/a": CONTENT}, [Drip(100, 0.01)]) as server,
        open_origin(AddressPolicy(["127.0.0.0/8"]), trust, limits) as origin,
        origin.open(server.url("/a"), RangeRequest()) as response,
    ):
        first = await response.read_into(memoryview(memory)[:100])
        reading = asyncio.create_task(response.read_into(memoryview(memory)))
        while not memory[first + 100]:
            await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait([reading])
        memory[:] = bytes(len(memory))
        await asyncio.sleep(0.05)  # some more drops
    assert memory == bytes(len(memory))
