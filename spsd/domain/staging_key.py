"""Names of places in staging: what may be continued is named by what it will be."""

import re
from typing import NewType
from uuid import UUID

from spsd.digest import Sha256

StagingKey = NewType("StagingKey", str)
"""A directory name; only the functions below make one."""

_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_KEY = re.compile(rf"[0-9a-f]{{64}}|upload-{_UUID}", re.ASCII)


def download_key(digest: Sha256) -> StagingKey:
    """A download's: a mirror, a re-signed URL or a restarted daemon continues it."""
    return StagingKey(digest)


def upload_key(upload: UUID) -> StagingKey:
    """An upload's: its digest is known at the end only, and nobody continues it."""
    return StagingKey(f"upload-{upload}")


def parse_staging_key(name: str) -> StagingKey | None:
    """The key that a directory's name is; None: the directory is not ours."""
    return StagingKey(name) if _KEY.fullmatch(name) else None
