"""Whether a file system of our own can be mounted here."""

import shutil
from pathlib import Path


def unavailable() -> str | None:
    """Why no file system of our own can be mounted here; None: one can."""
    if not Path("/dev/fuse").exists():
        return "there is no /dev/fuse"
    if shutil.which("fusermount3") is None:
        return "fusermount3 is not installed (Debian: fuse3)"
    try:
        import mfusepy  # noqa: F401, PLC0415 - importing it looks for libfuse
    except (ImportError, OSError, AttributeError) as error:
        return f"mfusepy cannot be used: {error}"
    return None
