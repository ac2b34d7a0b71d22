"""Processes that end when the one that started them is gone, however it went."""

import multiprocessing
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

_at_work = threading.Lock()


class OrphanError(Exception):
    """Nobody waits for the result any more."""


def processes(count: int) -> ProcessPoolExecutor:
    """So many fresh processes, since a daemon's start needs one without threads."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(count, mp_context=context, initializer=_watch)


@contextmanager
def work() -> Iterator[None]:
    """What happens in here is tidied up before the process ends with its parent."""
    with _at_work:
        yield


def go_on() -> None:
    """Between two steps.

    Raises:
        OrphanError: the parent is gone.
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
    # A pool's process waits for work for ever: it holds both ends of the queue itself.
    with _at_work:
        os._exit(1)
