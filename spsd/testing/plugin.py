"""A hostile origin and a daemon as fixtures: `pytest_plugins = ["spsd.testing.plugin"]`.

It needs pytest, which `pip install spsd[testing]` brings. There is no entry point, so whoever
installs spsd for something else does not get a plugin into all test runs.
"""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from spsd.testing.daemon import DaemonProcess
from spsd.testing.origin import Act, Origin, ThreadedOrigin


class Serve(Protocol):
    """Start an origin with these objects by path, which plays these acts, one per request."""

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
def hostile_origin() -> Iterator[Serve]:
    """A function that starts origins which misbehave as told; they end with the test."""
    with ExitStack() as stack:

        def serve(
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

        yield serve


@pytest.fixture
def spsd_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """A daemon that is ready, with a user, in a directory of its own; it ends with the test."""
    with DaemonProcess(tmp_path_factory.mktemp("spsd")) as daemon:
        yield daemon
