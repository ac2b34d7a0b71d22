"""The server under test, what the run may do to it, and the responses received so far."""

import http.client
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from enum import IntEnum
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from spsd.testing.client import Answer, Client
from spsd.testing.conformance import checks
from spsd.testing.conformance.checks import Broken, NotTried
from spsd.testing.origin import Act, Origin, ThreadedOrigin

T = TypeVar("T")
FETCH = "/api/firmware/fetch"
SLOTS = "/api/firmware/slots"
POLL_S = 0.03
_REMOVAL_S = 5
CALL_ERRORS = (Broken, NotTried, OSError, http.client.HTTPException, ValueError)
"""What a call to a server may raise."""


class Reach(IntEnum):
    """What a run may do, from the least to the most."""

    READS = 0
    """It only reads."""
    REQUESTS = 1
    """It also sends requests that are refused, and downloads that leave nothing behind."""
    WRITES = 2
    """It also fills and empties slots."""
    DESTRUCTIVE = 3
    """It also upgrades: a slot is chosen for the next boot."""


@dataclass
class Target:
    """The server as one run sees it; responses are cached, so that facts can share them.

    ``session`` is logged in as ``user``; ``limited``, if given, as a user without write permission.
    ``image`` returns a firmware image, a different one at each call if possible. ``origin_host`` is
    the address of the run's origins; None: the local address on the route to the server.
    """

    session: Client
    user: str
    password: str = field(repr=False)
    image: Callable[[], bytes]
    limited: Client | None = None
    reach: Reach = Reach.REQUESTS
    origin_host: str | None = None
    api_version: tuple[int, ...] | None = None
    """The version of the API that the server implements; None: the newest known."""
    job_timeout_s: float = 60
    """How long to wait for a download, in seconds."""
    left_behind: list[str] = field(default_factory=list)
    """What the run could not undo, as sentences."""
    _results: dict[str, object] = field(default_factory=dict)
    _jobs: list[str] = field(default_factory=list)
    _slots: list[str] = field(default_factory=list)
    _clients: list[Client] = field(default_factory=list)
    _stack: ExitStack = field(default_factory=ExitStack)

    def once(self, name: str, make: Callable[[], T]) -> T:
        """Call ``make`` the first time; later calls with this name return or raise the same."""
        if name not in self._results:
            try:
                self._results[name] = make()
            except CALL_ERRORS as error:
                self._results[name] = error
        result = self._results[name]
        if isinstance(result, Exception):
            raise result
        return cast(T, result)

    def anonymous(self) -> Client:
        """A client without a session."""
        return replace(self.session, cookie=None)

    def call(self, method: str, path: str, **more: Any) -> Answer:  # noqa: ANN401 - as Client.call
        """Send a request with the session; nothing is cached."""
        return self.session.call(method, path, **more)

    def get_once(self, path: str) -> Answer:
        """The response to GET of the path; it is requested once."""
        return self.once(f"GET {path}", lambda: self.call("GET", path))

    def document(self, path: str) -> dict[str, Any]:
        """The JSON object at the path, requested once; its status must be 200."""
        answer = self.get_once(path)
        checks.status(answer, 200)
        return checks.document(answer)

    def read(self, path: str) -> dict[str, Any]:
        """The current JSON object at the path; its status must be 200."""
        answer = self.call("GET", path)
        checks.status(answer, 200)
        return checks.document(answer)

    def log_in(self) -> tuple[Client, Answer]:
        """Open another session; it ends with the run."""
        client = self.anonymous()
        self._clients.append(client)
        return client, client.log_in(self.user, self.password)

    def empty_slot(self) -> str:
        """The key of a slot that is empty now.

        Raises:
            NotTried: No slot is empty.
        """
        for item in checks.array(checks.member(self.read(SLOTS), "items"), "items"):
            if checks.member(item, "body") == {}:
                return checks.string(checks.member(item, "key"), "key")
        raise NotTried("no slot is empty")

    def origin(
        self,
        objects: Mapping[str, bytes | Path],
        *,
        always: Act | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> ThreadedOrigin:
        """Start an origin for the server; it runs until the end of the run.

        Raises:
            NotTried: It cannot listen on the address.
        """
        host = self.origin_host or local_address(self.session.url)
        origin = Origin(objects, always=always, host=host, ssl_context=ssl_context)
        try:
            return self._stack.enter_context(ThreadedOrigin(origin))
        except OSError as error:
            raise NotTried(
                f"no origin can listen on {host} ({error}); name an address of this machine "
                "with --origin-host"
            ) from error

    def enter(self, make: Callable[[], Any]) -> Any:  # noqa: ANN401 - any context manager
        """Enter the context that ``make`` returns; it is left at the end of the run."""
        return self._stack.enter_context(make())

    def remove_job_at_end(self, key: str) -> None:
        """Remove this job at the end of the run."""
        self._jobs.append(key)

    def empty_slot_at_end(self, key: str) -> None:
        """Empty this slot at the end of the run."""
        self._slots.append(key)

    def leave_slot(self, key: str, reason: str) -> None:
        """Note that the slot cannot be emptied any more, and why."""
        self._slots = [slot for slot in self._slots if slot != key]
        self.left_behind.append(f"slot {key} {reason}")

    def close(self) -> None:
        """Remove the run's jobs, images, sessions and origins; no error of the server is raised."""
        with self._stack:
            for key in self._jobs:
                self._remove(f"{FETCH}/{key}")
            for key in self._slots:
                with suppress(*CALL_ERRORS):
                    self.call("DELETE", f"{SLOTS}/{key}")
            for client in self._clients:
                log_out(client)

    def _remove(self, path: str) -> None:
        # The first DELETE may only cancel, and a download that installs its image must end first.
        until = time.monotonic() + min(self.job_timeout_s, _REMOVAL_S)
        with suppress(*CALL_ERRORS):
            while self.call("GET", path).status == 200:
                if time.monotonic() > until:
                    self.left_behind.append(f"the server does not remove {path}")
                    return
                self.call("DELETE", path)
                time.sleep(POLL_S)


def log_out(client: Client) -> None:
    """End the session; if the server has no log-out, the session ends when it has been idle."""
    with suppress(*CALL_ERRORS):
        client.call("DELETE", "/api/authentication")


def local_address(url: str) -> str:
    """The address of this machine on its route to the server."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    family, kind, _, _, where = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind) as probe:
        probe.connect(where)  # sends nothing
        return str(probe.getsockname()[0])
