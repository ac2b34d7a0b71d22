"""What a program did to a file system, effect by effect, as the recorder writes it down.

Files and directories are numbered: names come and go, what lies behind them stays the same.
"""

import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

ROOT = 0
"""The number of the directory that everything lies in."""
MARK = ".mark-"
"""How the names of directories begin that are marks."""
BEGIN = "begin"
"""The mark after what was there at first."""


class Make(msgspec.Struct, frozen=True, tag=True):
    """A file, directory or link appears in the directory ``at`` under ``name``."""

    at: int
    name: str
    node: int
    kind: str
    mode: int = 0
    target: str = ""


class Write(msgspec.Struct, frozen=True, tag=True):
    """Bytes are put into a file."""

    node: int
    offset: int
    data: bytes


class Truncate(msgspec.Struct, frozen=True, tag=True):
    """A file gets that length."""

    node: int
    length: int


class Rename(msgspec.Struct, frozen=True, tag=True):
    """A name goes from one directory to another, or to another name; one that was there goes."""

    at: int
    name: str
    to: int
    new: str


class Remove(msgspec.Struct, frozen=True, tag=True):
    """A name goes."""

    at: int
    name: str


class Sync(msgspec.Struct, frozen=True, tag=True):
    """What was done to that file's bytes, or to that directory's names, is durable now."""

    node: int


class Mark(msgspec.Struct, frozen=True, tag=True):
    """Nothing happens on the disk; somebody was told something."""

    told: str


Effect = Make | Write | Truncate | Rename | Remove | Sync | Mark
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Effect).decode
_LENGTH = struct.Struct("<I")


def append(log: BinaryIO, effect: Effect) -> None:
    """Write one effect to the end of the log."""
    record = _encode(effect)
    log.write(_LENGTH.pack(len(record)) + record)
    log.flush()


def read(path: Path) -> list[Effect]:
    """Every effect of the log, in order."""
    return list(_records(io.BytesIO(path.read_bytes())))


def _records(log: BinaryIO) -> Iterator[Any]:
    while head := log.read(_LENGTH.size):
        yield _decode(log.read(_LENGTH.unpack(head)[0]))


def told(effect: Effect) -> str:
    """One line for a person."""
    match effect:
        case Make(name=name, kind=kind):
            return f"make {kind} {name}"
        case Write(node=node, offset=offset, data=data):
            return f"write {len(data)} bytes at {offset} of #{node}"
        case Truncate(node=node, length=length):
            return f"truncate #{node} to {length}"
        case Rename(name=name, new=new):
            return f"rename {name} to {new}"
        case Remove(name=name):
            return f"remove {name}"
        case Sync(node=node):
            return f"sync #{node}"
        case Mark(told=what):
            return f"({what})"
