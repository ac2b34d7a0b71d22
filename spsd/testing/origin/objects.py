"""The objects that the origin serves, in memory or on disk, and their validators."""

import hashlib
import io
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Final, TypeAlias

from spsd.testing.origin.response import Entity

ContentFile: TypeAlias = io.BytesIO | io.FileIO

OCTETS: Final = "application/octet-stream"
_DEFAULT_MODIFIED: Final = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class InMemory:
    """An object whose content is these bytes."""

    content: bytes
    entity: Entity

    def open(self) -> tuple[ContentFile, Entity]:
        """Return the content and its metadata."""
        return io.BytesIO(self.content), self.entity


@dataclass(frozen=True, slots=True)
class OnDisk:
    """An object whose content is this file, in its state at the time of each request.

    Unless ``etag`` is given, the ETag is made of size and modification time: the file may be too
    large to be read only for a hash.
    """

    path: Path
    etag: str | None
    content_type: str

    def open(self) -> tuple[ContentFile, Entity]:
        """Return the file, which the caller must close, and its metadata.

        This blocks only for the time of opening a local file. A thread would be worse: if it were
        cancelled while it runs, the file would stay open.

        Raises:
            FileNotFoundError: The file no longer exists.
        """
        file = io.FileIO(self.path)
        # More read-ahead: a large sparse file not yet in the page cache goes out in half the time.
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        stat = os.fstat(file.fileno())
        etag = self.etag or f'"{stat.st_size:x}-{stat.st_mtime_ns:x}"'
        modified = http_date(datetime.fromtimestamp(int(stat.st_mtime), UTC))
        return file, Entity(stat.st_size, etag, modified, self.content_type)


ServedObject: TypeAlias = InMemory | OnDisk


def served_object(
    content: bytes | Path, *, etag: str | None = None, content_type: str = OCTETS
) -> ServedObject:
    """Return the object with this content; `etag` is the whole field value, quotes included."""
    if isinstance(content, Path):
        return OnDisk(content, etag, content_type)
    entity = _entity(content, _DEFAULT_MODIFIED, content_type)
    return InMemory(content, entity if etag is None else replace(entity, etag=etag))


class ObjectStore:
    """The objects by path."""

    def __init__(self, objects: dict[str, ServedObject]) -> None:
        self._objects = objects

    def open(self, path: str) -> tuple[ContentFile, Entity | None]:
        """Return the object's content, which the caller must close, and its metadata.

        Without an object at this path the content is empty and the metadata is None.
        """
        served = self._objects.get(path)
        if served is not None:
            with suppress(FileNotFoundError):
                return served.open()
        return io.BytesIO(), None

    def swap(self, path: str, content: bytes, *, keep_etag: bool) -> None:
        """Replace the object's content; ``keep_etag`` keeps its ETag and its Last-Modified."""
        file, old = self.open(path)
        file.close()
        new = InMemory(content, _entity(content, datetime.now(UTC), OCTETS))
        if old is not None:
            entity = old if keep_etag else replace(new.entity, content_type=old.content_type)
            new = InMemory(content, replace(entity, size=len(content)))
        self._objects[path] = new


def http_date(moment: datetime) -> str:
    """Return the moment as an HTTP-date (RFC 9110 section 5.6.7)."""
    return format_datetime(moment, usegmt=True)


def _entity(content: bytes, modified: datetime, content_type: str) -> Entity:
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    return Entity(len(content), etag, http_date(modified), content_type)
