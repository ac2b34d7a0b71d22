"""What the origin has to offer: objects in memory or on disk, and their validators."""

import hashlib
import io
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Final, TypeAlias

from spsd.testing.origin.reply import Entity

Source: TypeAlias = io.BytesIO | io.FileIO

OCTETS: Final = "application/octet-stream"
_LONG_AGO: Final = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class InMemory:
    """An object that is these bytes."""

    content: bytes
    entity: Entity

    def open(self) -> tuple[Source, Entity]:
        """Return the bytes and what is told about them."""
        return io.BytesIO(self.content), self.entity


@dataclass(frozen=True, slots=True)
class OnDisk:
    """An object that is this file as it is when asked for.

    Its ETag, unless given, is of size and modification time: the file may be too large to be read
    for nothing but a tag.
    """

    path: Path
    etag: str | None
    content_type: str

    def open(self) -> tuple[Source, Entity]:
        """Return the file, to be closed by the caller, and what is told about it.

        It blocks for no longer than opening a local file takes. A thread would be worse than that:
        cancelled on its way, it would leave the file open.

        Raises:
            FileNotFoundError: The file is gone.
        """
        file = io.FileIO(self.path)
        # More read-ahead: a large sparse file not yet in the page cache goes out in half the time.
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        found = os.fstat(file.fileno())
        etag = self.etag or f'"{found.st_size:x}-{found.st_mtime_ns:x}"'
        modified = http_date(datetime.fromtimestamp(int(found.st_mtime), UTC))
        return file, Entity(found.st_size, etag, modified, self.content_type)


Stored: TypeAlias = InMemory | OnDisk


def store(content: bytes | Path, *, etag: str | None = None, content_type: str = OCTETS) -> Stored:
    """Return the object with this content; `etag` is the whole field value, quotes included."""
    if isinstance(content, Path):
        return OnDisk(content, etag, content_type)
    entity = _entity(content, _LONG_AGO, content_type)
    return InMemory(content, entity if etag is None else replace(entity, etag=etag))


class Shelf:
    """The objects by path."""

    def __init__(self, objects: dict[str, Stored]) -> None:
        self._objects = objects

    def open(self, path: str) -> tuple[Source, Entity | None]:
        """Return the object's bytes, to be closed, and what is told about it, None if not there."""
        stored = self._objects.get(path)
        if stored is not None:
            with suppress(FileNotFoundError):
                return stored.open()
        return io.BytesIO(), None

    def swap(self, path: str, content: bytes, *, keep_etag: bool) -> None:
        """Put these bytes in the object's place; with its ETag it keeps its Last-Modified, too."""
        source, old = self.open(path)
        source.close()
        new = InMemory(content, _entity(content, datetime.now(UTC), OCTETS))
        if old is not None:
            kept = old if keep_etag else replace(new.entity, content_type=old.content_type)
            new = InMemory(content, replace(kept, size=len(content)))
        self._objects[path] = new


def http_date(moment: datetime) -> str:
    """Return the moment as an HTTP-date (RFC 9110 section 5.6.7)."""
    return format_datetime(moment, usegmt=True)


def _entity(content: bytes, modified: datetime, content_type: str) -> Entity:
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    return Entity(len(content), etag, http_date(modified), content_type)
