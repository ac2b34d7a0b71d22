"""A directory in memory for files that tests and programs write and sync thousands of times."""

import os
from pathlib import Path

SHARED = Path("/dev/shm")


def memory(directory: Path = SHARED) -> Path | None:
    """``directory`` if this process may write to it, else None.

    None as the ``dir`` of the module tempfile means the ordinary temporary directory.
    """
    return directory if directory.is_dir() and os.access(directory, os.W_OK | os.X_OK) else None
