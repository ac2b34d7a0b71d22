"""Whether this machine can mount a file system in user space (FUSE)."""

import shutil
from pathlib import Path


def unavailable() -> str | None:
    """The reason why no FUSE file system can be mounted here; None if one can."""
    if not Path("/dev/fuse").exists():
        return "there is no /dev/fuse"
    if shutil.which("fusermount3") is None:
        return "fusermount3 is not installed (Debian: fuse3)"
    try:
        import mfusepy  # noqa: F401, PLC0415 - importing it looks for libfuse
    except (ImportError, OSError, AttributeError) as error:
        return f"mfusepy cannot be used: {error}"
    return None
