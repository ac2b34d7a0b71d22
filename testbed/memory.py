"""Where tests and proofs put what they write and sync a thousand times."""

import os
from pathlib import Path

SHARED = Path("/dev/shm")


def memory(place: Path = SHARED) -> Path | None:
    """A directory in memory; None where we may write none, for the ordinary temporary directory."""
    return place if place.is_dir() and os.access(place, os.W_OK | os.X_OK) else None
