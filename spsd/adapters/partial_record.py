"""What is known of the object that a partial file is a prefix of, in a small file beside it."""

import hashlib
from pathlib import Path

import msgspec

from spsd.storage.files import sync_directory, write_durably

RECORD = "partial.json"
RECORD_ROOM = 4096
"""More than a record ever takes, in bytes."""


class Record(msgspec.Struct, frozen=True):
    """What is known of the object, beside the partial file.

    ``origin`` is a hash of the URL the validators came from: a signed URL is a secret.
    """

    origin: str = ""
    etag: str | None = None
    total: int | None = None
    synced: int = 0
    boot_id: str = ""


def origin_of(url: str) -> str:
    """The URL's fingerprint, as kept in a record."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]


def open_directory(directory: Path) -> Record:
    """Make the partial's directory, durably, and read its record; an unreadable one is none."""
    if not directory.is_dir():
        directory.mkdir(mode=0o700)
        sync_directory(directory.parent)
    try:
        return msgspec.json.decode((directory / RECORD).read_bytes(), type=Record)
    except (FileNotFoundError, msgspec.DecodeError):
        return Record()


def write_record(directory: Path, record: Record) -> None:
    """Replace the record, durably."""
    write_durably(directory / RECORD, msgspec.json.encode(record))
