"""Bodies as descriptions: which bytes of the object go out, and what is put around them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias, assert_never


@dataclass(frozen=True, slots=True)
class Span:
    """So many bytes of the object from `start` on, each with its bits flipped if `flipped`."""

    start: int
    length: int
    flipped: bool = False


@dataclass(frozen=True, slots=True)
class Filler:
    """So many bytes that belong to nothing."""

    length: int


Piece: TypeAlias = bytes | Span | Filler
Body: TypeAlias = tuple[Piece, ...]


def total(body: Body) -> int:
    """Return how many bytes the body has."""
    return sum(map(_length, body))


def split(body: Body, at: int) -> tuple[Body, Body]:
    """Return the first `at` bytes of the body, or all there are, and the rest."""
    before: list[Piece] = []
    after: list[Piece] = []
    left = max(at, 0)
    for piece in body:
        length = _length(piece)
        here = min(left, length)
        left -= here
        if here:
            before.append(_part(piece, 0, here))
        if here < length:
            after.append(_part(piece, here, length))
    return tuple(before), tuple(after)


def flip(body: Body, offset: int) -> Body:
    """Return the body with the byte at this offset flipped, if that is one of the object's."""
    before, rest = split(body, offset)
    one, after = split(rest, 1)
    flipped = (replace(p, flipped=True) if isinstance(p, Span) else p for p in one)
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
