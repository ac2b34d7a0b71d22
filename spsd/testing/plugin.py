"""A hostile origin and a daemon as fixtures: `pytest_plugins = ["spsd.testing.plugin"]`.

The plugin needs pytest, which `pip install spsd[testing]` installs. It has no entry point, so an
installed spsd does not change test runs that do not name the plugin.
"""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from spsd.testing.daemon import DaemonProcess
from spsd.testing.origin import Act, Origin, ThreadedOrigin


class StartOrigin(Protocol):
    """Starts an origin with these objects by path and this script, one act per request."""

    def __call__(
        self,
        objects: Mapping[str, bytes | Path],
        *acts: Act,
        always: Act | None = None,
        etag: str | None = None,
        validators: bool = True,
        ssl_context: ssl.SSLContext | None = None,
    ) -> ThreadedOrigin:
        """Return the origin, which listens on a free port of 127.0.0.1 until the test ends."""


@pytest.fixture
def hostile_origin() -> Iterator[StartOrigin]:
    """A function that starts hostile origins; they end with the test."""
    with ExitStack() as stack:

        def start(
            objects: Mapping[str, bytes | Path],
            *acts: Act,
            always: Act | None = None,
            etag: str | None = None,
            validators: bool = True,
            ssl_context: ssl.SSLContext | None = None,
        ) -> ThreadedOrigin:
            origin = Origin(
                objects,
                acts,
                always=always,
                etag=etag,
                validators=validators,
                ssl_context=ssl_context,
            )
            return stack.enter_context(ThreadedOrigin(origin))

        yield start


@pytest.fixture
def spsd_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """A ready daemon with the account `USER` in its own directory; it ends with the test."""
    with DaemonProcess(tmp_path_factory.mktemp("spsd")) as daemon:
        yield daemon
