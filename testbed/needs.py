"""What a test needs of the machine, and skips itself without: a program, root, a mount, a terminal.

As a mark, ``@needs.program("curl")``, or within a test or a fixture, ``needs.now(…)`` of the same.
Either way the machine is looked at when the test runs and not when it is collected, and what is
missing is told in the same words: ``needs curl (Debian: curl)``.
"""

import multiprocessing
import os
import pty
import shutil
from collections.abc import Callable
from typing import NoReturn

import pytest

from testbed import fuse as fuse_of_ours

PACKAGES = {
    "apache2": "apache2-bin",
    "chromium": "chromium",
    "curl": "curl",
    "lighttpd": "lighttpd",
    "mkfs.ext4": "e2fsprogs",
    "mount": "mount",
    "nginx": "nginx-light",
    "openssl": "openssl",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "sqlite3": "sqlite3",
    "squid": "squid",
    "systemd-sysusers": "systemd",
    "unshare": "util-linux",
}
"""Debian's package of each program that a test calls."""
Lack = Callable[[], str | None]


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line(
        "markers", "needs(lack): what this machine must have; see testbed/needs.py"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Look at the machine, before any fixture is set up."""
    for mark in item.iter_markers("needs"):
        now(mark)


def now(need: pytest.MarkDecorator | pytest.Mark) -> None:
    """Skip the running test unless that is there now."""
    lack = need.kwargs["lack"]()
    if lack is not None:
        skip(lack)


def skip(what: str) -> NoReturn:
    """Skip the running test, which has found out by itself that this is missing."""
    pytest.skip(f"needs {what}")


def found(program: str) -> str | None:
    """Where a program is; servers are where an ordinary user's PATH does not lead."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def program(*names: str) -> pytest.MarkDecorator:
    """All of these programs."""

    def lack() -> str | None:
        missing = next((name for name in names if found(name) is None), None)
        return missing and f"{missing} (Debian: {PACKAGES[missing]})"

    return pytest.mark.needs(lack=lack)


def root() -> pytest.MarkDecorator:
    """To be root, for mounts and other users."""
    return pytest.mark.needs(lack=lambda: "root" if os.geteuid() != 0 else None)


def fuse() -> pytest.MarkDecorator:
    """A file system of our own in user space."""
    return pytest.mark.needs(lack=_no_fuse)


def _no_fuse() -> str | None:
    return "FUSE (Debian: fuse3 libfuse3-3)" if fuse_of_ours.unavailable() is not None else None


def semaphores() -> pytest.MarkDecorator:
    """Semaphores of several processes, without which Ansible plays nothing."""
    return pytest.mark.needs(lack=_no_semaphores)


def _no_semaphores() -> str | None:
    try:
        multiprocessing.get_context("fork").Lock()
    except OSError:
        return "a /dev/shm that may be written"
    return None


def terminal() -> pytest.MarkDecorator:
    """A pseudo-terminal."""
    return pytest.mark.needs(lack=_no_terminal)


def _no_terminal() -> str | None:
    try:
        ours, theirs = pty.openpty()
    except OSError:
        return "a pseudo-terminal: /dev/ptmx and /dev/pts"
    os.close(ours)
    os.close(theirs)
    return None
