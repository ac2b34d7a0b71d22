"""Worker processes that end when the process that started them has ended in any way."""

import multiprocessing
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

_working = threading.Lock()


class OrphanError(Exception):
    """The parent process has ended, so the result is not needed any more."""


def processes(count: int) -> ProcessPoolExecutor:
    """A pool of ``count`` spawned processes: the start of a daemon needs one without threads."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(count, mp_context=context, initializer=_watch)


@contextmanager
def work() -> Iterator[None]:
    """A context whose clean-up is done before the process ends because of its parent."""
    with _working:
        yield


def check_parent() -> None:
    """Called between two steps of the work.

    Raises:
        OrphanError: the parent process has ended.
    """
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        raise OrphanError


def _watch() -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    # A worker of a pool waits for work for ever: it holds both ends of the queue itself.
    with _working:
        os._exit(1)
