"""The effects of a program on a file system, and the log file to which the recorder writes them.

Files and directories have numbers, which stay the same when their names change.
"""

import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

ROOT = 0
"""The number of the top directory."""
MARK = ".mark-"
"""The prefix of the names of directories that are marks."""
BEGIN = "begin"
"""The mark between the initial state and the run."""


class Make(msgspec.Struct, frozen=True, tag=True):
    """A file, directory or link appears in the directory ``at`` under ``name``."""

    at: int
    name: str
    node: int
    kind: str
    mode: int = 0
    target: str = ""


class Write(msgspec.Struct, frozen=True, tag=True):
    """Bytes are written to a file."""

    node: int
    offset: int
    data: bytes


class Truncate(msgspec.Struct, frozen=True, tag=True):
    """A file is set to a length."""

    node: int
    length: int


class Rename(msgspec.Struct, frozen=True, tag=True):
    """A name moves from the directory ``at`` to ``to``, and replaces an entry named ``new``."""

    at: int
    name: str
    to: int
    new: str


class Remove(msgspec.Struct, frozen=True, tag=True):
    """A name is removed."""

    at: int
    name: str


class Sync(msgspec.Struct, frozen=True, tag=True):
    """All earlier changes of a file's bytes, or of a directory's names, are durable now."""

    node: int


class Mark(msgspec.Struct, frozen=True, tag=True):
    """No effect on the disk: the client has sent a request or received a response."""

    text: str


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
    """All effects of the log, in order."""
    return list(_records(io.BytesIO(path.read_bytes())))


def _records(log: BinaryIO) -> Iterator[Any]:
    while head := log.read(_LENGTH.size):
        yield _decode(log.read(_LENGTH.unpack(head)[0]))


def description(effect: Effect) -> str:
    """A line of text about an effect."""
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
        case Mark(text=text):
            return f"({text})"
