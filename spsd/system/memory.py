"""Freed memory goes back to the system.

glibc keeps freed memory below the last piece in use, so that a process stays as large as it was at
the height of an attack.
"""

import ctypes

_libc = ctypes.CDLL(None)


def return_freed_memory() -> None:
    """Give what glibc keeps back to the system, malloc_trim(3). It blocks for milliseconds.

    Another C library, which has no such function, is left alone.
    """
    if hasattr(_libc, "malloc_trim"):
        _libc.malloc_trim(0)
