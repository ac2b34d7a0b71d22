"""Bodies as they are read, from an origin on a real wire."""

import asyncio

import pytest

from spsd.adapters.address_policy import AddressPolicy
from spsd.adapters.http_origin import Limits, open_origin
from spsd.adapters.origin_tls import Trust
from spsd.domain.exchange import Ask
from spsd.domain.failure import FailureCode, OriginError
from spsd.testing.origin import Act, CutAfter, Drip, Hang, Origin, Whole

CONTENT = bytes(range(256)) * 40
STALL_S = 1.5


async def reads(
    act: Act, *, room: int, when: list[float] | None = None
) -> tuple[list[int], OriginError | None]:
    """How many bytes each read gave, and what ended them; ``when`` is told the time of each."""
    limits = Limits(
        connect_timeout_s=5, minimum_bytes_per_s=1, stall_window_s=STALL_S, rate_limit_bytes_per_s=0
    )
    trust = await asyncio.to_thread(Trust.of, "checksum", None)
    sizes, got, memory = [], b"", memoryview(bytearray(room))
    async with (
        Origin({"/a": CONTENT}, [act]) as server,
        open_origin(AddressPolicy(["127.0.0.0/8"]), trust, limits) as origin,
        origin.open(server.url("/a"), Ask()) as answer,
    ):
        try:
            while size := await answer.read_into(memory):
                sizes.append(size)
                if when is not None:
                    when.append(asyncio.get_running_loop().time())
                got += memory[:size]
        except OriginError as error:
            assert CONTENT.startswith(got)
            return sizes, error
    assert got == CONTENT
    return sizes, None


@pytest.mark.parametrize("room", [1000, 4096, 1_000_000])
async def test_a_room_is_filled(room: int) -> None:
    sizes, error = await reads(Whole(), room=room)
    assert error is None
    full, rest = divmod(len(CONTENT), room)
    assert sizes == [room] * full + [rest] * (rest > 0)


async def test_what_has_come_is_handed_on_while_the_origin_hangs() -> None:
    """Else bytes that are here would be neither kept nor counted until it stalls."""
    handed_on: list[float] = []
    sizes, error = await reads(Hang(1000), room=4096, when=handed_on)
    ended = asyncio.get_running_loop().time()
    assert sizes == [1000]
    assert error is not None
    assert error.code is FailureCode.STALL
    assert ended - handed_on[0] > STALL_S / 2


async def test_a_drip_is_handed_on_in_parts() -> None:
    sizes, error = await reads(Drip(1024, 0.1), room=1_000_000)
    assert error is None
    assert len(sizes) > 1


async def test_what_came_before_a_cut_is_read_before_it_is_told() -> None:
    sizes, error = await reads(CutAfter(1500), room=1000)
    assert sum(sizes) == 1500
    assert error is not None
    assert error.code is FailureCode.CUT_OFF
