"""Where a head ends, compared with aiohttp's parser, and the limits of heads over real sockets."""

import asyncio
from itertools import pairwise

import pytest
from aiohttp.http import HttpProcessingError, HttpRequestParser
from hypothesis import given
from hypothesis import strategies as st

from spsd.web.connections.heads import HeadReader

FRAGMENTS = st.lists(
    st.sampled_from(
        [b"GET / HTTP/1.1\r\n", b"Host: x\r\n", b"\r\n", b"\r", b"\n", b"X: 1", b"\r\n\r\n", b" y"]
    ),
    max_size=12,
).map(b"".join)


def parsed(pieces: list[bytes]) -> int | None:
    """The number of pieces after which aiohttp has a message; None: none, or it is refused."""
    loop = asyncio.new_event_loop()
    try:
        parser = HttpRequestParser(None, loop, 2**16)
        for number, piece in enumerate(pieces):
            try:
                messages, _, _ = parser.feed_data(piece)
            except HttpProcessingError:
                return None
            if messages:
                return number
        return None
    finally:
        loop.close()


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(each % (len(data) + 1) for each in cuts)})
    return [data[begin:end] for begin, end in pairwise(places)]


@given(FRAGMENTS, st.lists(st.integers(0, 200), max_size=6))
def test_a_head_ends_where_aiohttp_has_a_message(data: bytes, cuts: list[int]) -> None:
    pieces = cut(data, cuts)
    expected = parsed(pieces)
    reader = HeadReader()
    for number, piece in enumerate(pieces):
        if (end := reader.feed(piece)) is not None:
            before = b"".join(pieces[:number])
            assert (before + piece[:end]).endswith(b"\r\n\r\n")
            assert reader.size == len((before + piece[:end]).lstrip(b"\r\n"))
            assert expected is None or expected == number
            return
        assert reader.size == len(b"".join(pieces[: number + 1]).lstrip(b"\r\n"))
    assert expected is None


@pytest.mark.parametrize("cuts", [[], [1], [2, 3], list(range(40))])
def test_bytes_after_the_head_do_not_count(cuts: list[int]) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\n\r\n"
    reader, rest = HeadReader(), b""
    end = None
    for piece in cut(b"\r\n" + head + b"body", cuts):
        if end is None:
            end = reader.feed(piece)
            rest = piece[end or 0 :] if end is not None else b""
        else:
            rest += piece
    assert (reader.size, rest) == (len(head), b"body")
