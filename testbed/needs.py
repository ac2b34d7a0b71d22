"""Requirements of a test to the machine, such as a program, root, a mount or a terminal.

A test declares one with a mark, ``@needs.program("curl")``, or inside a test or fixture with
``needs.now(needs.program("curl"))``. Both check the machine when the test runs, not when it is
collected, and skip the test with the same message: ``needs curl (Debian: curl)``.
"""

import multiprocessing
import os
import pty
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

from testbed import fuse as fuse_support

PACKAGES = {
    "apache2": "apache2-bin",
    "chromium": "chromium",
    "curl": "curl",
    "fail2ban-regex": "fail2ban",
    "genisoimage": "genisoimage",
    "isoinfo": "genisoimage",
    "lighttpd": "lighttpd",
    "mkfs.ext4": "e2fsprogs",
    "mount": "mount",
    "nginx": "nginx-light",
    "openssl": "openssl",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "slowhttptest": "slowhttptest",
    "sqlite3": "sqlite3",
    "squid": "squid",
    "sslscan": "sslscan",
    "systemd-sysusers": "systemd",
    "setpriv": "util-linux",
    "unshare": "util-linux",
    "wapiti": "wapiti",
    "xorriso": "xorriso",
}
"""Debian's package of each program that a test calls."""


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark."""
    config.addinivalue_line(
        "markers", "needs(lack): what this machine must have; see testbed/needs.py"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Check the machine before any fixture is set up."""
    for mark in item.iter_markers("needs"):
        now(mark)


def now(need: pytest.MarkDecorator | pytest.Mark) -> None:
    """Skip the running test unless the need is met now."""
    lack = need.kwargs["lack"]()
    if lack is not None:
        skip(lack)


def skip(what: str) -> NoReturn:
    """Skip the running test, which has itself detected that ``what`` is missing."""
    pytest.skip(f"needs {what}")


def find_program(program: str) -> str | None:
    """The path of a program, or None; also searches sbin, which a user's PATH does not name."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def program(*names: str) -> pytest.MarkDecorator:
    """All of these programs are installed."""

    def lack() -> str | None:
        missing = next((name for name in names if find_program(name) is None), None)
        return missing and f"{missing} (Debian: {PACKAGES[missing]})"

    return pytest.mark.needs(lack=lack)


def file(path: str, package: str) -> pytest.MarkDecorator:
    """A file that a package of Debian contains is installed."""
    lack = f"{path} (Debian: {package})"
    return pytest.mark.needs(lack=lambda: None if Path(path).is_file() else lack)


def root() -> pytest.MarkDecorator:
    """The tests run as root, which mounts and other users require."""
    return pytest.mark.needs(lack=lambda: "root" if os.geteuid() != 0 else None)


def fuse() -> pytest.MarkDecorator:
    """A FUSE file system can be mounted."""
    return pytest.mark.needs(lack=_no_fuse)


def _no_fuse() -> str | None:
    return "FUSE (Debian: fuse3 libfuse3-3)" if fuse_support.unavailable() is not None else None


def semaphores() -> pytest.MarkDecorator:
    """Semaphores for several processes can be made; Ansible runs no playbook without them."""
    return pytest.mark.needs(lack=_no_semaphores)


def _no_semaphores() -> str | None:
    try:
        multiprocessing.get_context("fork").Lock()
    except OSError:
        return "a writable /dev/shm"
    return None


def terminal() -> pytest.MarkDecorator:
    """A pseudo-terminal can be opened."""
    return pytest.mark.needs(lack=_no_terminal)


def _no_terminal() -> str | None:
    try:
        ours, theirs = pty.openpty()
    except OSError:
        return "a pseudo-terminal: /dev/ptmx and /dev/pts"
    os.close(ours)
    os.close(theirs)
    return None
