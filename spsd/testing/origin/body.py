"""Descriptions of response bodies: which bytes of the object are sent, and which others."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias, assert_never


@dataclass(frozen=True, slots=True)
class Span:
    """``length`` bytes of the object from ``start`` on; ``flipped`` inverts each of their bits."""

    start: int
    length: int
    flipped: bool = False


@dataclass(frozen=True, slots=True)
class Filler:
    """``length`` zero bytes that are not part of the object."""

    length: int


Piece: TypeAlias = bytes | Span | Filler
Body: TypeAlias = tuple[Piece, ...]


def total(body: Body) -> int:
    """Return the number of bytes of the body."""
    return sum(map(_length, body))


def split(body: Body, at: int) -> tuple[Body, Body]:
    """Return the first `at` bytes of the body, or all if it is shorter, and the rest."""
    before: list[Piece] = []
    after: list[Piece] = []
    left = max(at, 0)
    for piece in body:
        length = _length(piece)
        cut = min(left, length)
        left -= cut
        if cut:
            before.append(_part(piece, 0, cut))
        if cut < length:
            after.append(_part(piece, cut, length))
    return tuple(before), tuple(after)


def flip(body: Body, offset: int) -> Body:
    """Return the body with the byte at this offset inverted, if it is a byte of the object."""
    before, rest = split(body, offset)
    byte, after = split(rest, 1)
    flipped = (replace(p, flipped=True) if isinstance(p, Span) else p for p in byte)
    return (*before, *flipped, *after)


def sliced(body: Body, size: int) -> Iterator[Piece]:
    """Yield the body in pieces of at most `size` bytes, none of them empty."""
    for piece in body:
        length = _length(piece)
        for start in range(0, length, size):
            yield _part(piece, start, min(start + size, length))


def _length(piece: Piece) -> int:
    return len(piece) if isinstance(piece, bytes) else piece.length


def _part(piece: Piece, start: int, stop: int) -> Piece:
    match piece:
        case bytes():
            return piece[start:stop]
        case Span():
            return replace(piece, start=piece.start + start, length=stop - start)
        case Filler():
            return Filler(stop - start)
        case _:
            assert_never(piece)
