"""Threads that give way to the one that answers requests."""

import os
import threading

STEP = 10


def give_way() -> OSError | None:
    """Make the calling thread nicer than the daemon's first one; gives the system's refusal.

    Linux counts niceness by thread, and a thread is born with that of whoever starts it: so the
    measure is the first thread, whose id is the process's.
    """
    try:
        nice = os.getpriority(os.PRIO_PROCESS, os.getpid()) + STEP
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)
    except OSError as error:
        return error
    return None
