"""The server that is tried, what the run may do to it, and what has been seen of it so far."""

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
from spsd.testing.conformance import reading
from spsd.testing.conformance.reading import Broken, NotTried
from spsd.testing.origin import Act, Origin, ThreadedOrigin

T = TypeVar("T")
FETCH = "/api/firmware/fetch"
SLOTS = "/api/firmware/slots"
POLL_S = 0.03
_REMOVAL_S = 5
FAULTS = (Broken, NotTried, OSError, http.client.HTTPException, ValueError)
"""What a call to a server may end with."""


class Reach(IntEnum):
    """How far a run may go."""

    READS = 0
    REQUESTS = 1
    WRITES = 2
    DESTRUCTIVE = 3


@dataclass
class Target:
    """One run's view of a server: what was asked once is not asked again.

    ``session`` is logged in as ``user``; ``limited``, if there is one, as a user who may not write.
    ``image`` makes a firmware image, each time another if it can.
    """

    session: Client
    user: str
    password: str = field(repr=False)
    image: Callable[[], bytes]
    limited: Client | None = None
    reach: Reach = Reach.REQUESTS
    origin_host: str | None = None
    api_version: tuple[int, ...] | None = None
    """What the server claims to speak; None: whatever is known."""
    patience_s: float = 60
    left_behind: list[str] = field(default_factory=list)
    """What the run could not take back, in sentences."""
    _seen: dict[str, object] = field(default_factory=dict)
    _jobs: list[str] = field(default_factory=list)
    _slots: list[str] = field(default_factory=list)
    _clients: list[Client] = field(default_factory=list)
    _stack: ExitStack = field(default_factory=ExitStack)

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What ``make`` returned, or raised, the first time."""
        if name not in self._seen:
            try:
                self._seen[name] = make()
            except FAULTS as fault:
                self._seen[name] = fault
        seen = self._seen[name]
        if isinstance(seen, Exception):
            raise seen
        return cast(T, seen)

    def stranger(self) -> Client:
        """A client with no session."""
        return replace(self.session, cookie=None)

    def call(self, method: str, path: str, **more: Any) -> Answer:  # noqa: ANN401 - as Client.call
        """Send a request of the session's."""
        return self.session.call(method, path, **more)

    def page(self, path: str) -> Answer:
        """GET of the path, once."""
        return self.once(f"GET {path}", lambda: self.call("GET", path))

    def document(self, path: str) -> dict[str, Any]:
        """The JSON object at the path, which is a success."""
        answer = self.page(path)
        reading.status(answer, 200)
        return reading.document(answer)

    def now(self, path: str) -> dict[str, Any]:
        """The JSON object at the path as it is at this moment."""
        answer = self.call("GET", path)
        reading.status(answer, 200)
        return reading.document(answer)

    def log_in(self) -> tuple[Client, Answer]:
        """Open another session; the first one stays."""
        client = self.stranger()
        self._clients.append(client)
        return client, client.log_in(self.user, self.password)

    def empty_slot(self) -> str:
        """The key of a slot that is empty now."""
        for item in reading.array(reading.at(self.now(SLOTS), "items"), "items"):
            if reading.at(item, "body") == {}:
                return reading.text(reading.at(item, "key"), "key")
        raise NotTried("no slot is empty")

    def origin(
        self,
        objects: Mapping[str, bytes | Path],
        *,
        always: Act | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> ThreadedOrigin:
        """An origin that the server can reach, until the run ends."""
        host = self.origin_host or local_address(self.session.url)
        made = Origin(objects, always=always, host=host, ssl_context=ssl_context)
        try:
            return self._stack.enter_context(ThreadedOrigin(made))
        except OSError as error:
            raise NotTried(
                f"no origin can listen on {host} ({error}); name an address of this machine "
                "with --origin-host"
            ) from error

    def directory(self, make: Callable[[], Any]) -> Any:  # noqa: ANN401 - any context manager
        """Enter a context that lasts as long as the run."""
        return self._stack.enter_context(make())

    def owns_job(self, key: str) -> None:
        """Take this job away at the end."""
        self._jobs.append(key)

    def owns_slot(self, key: str) -> None:
        """Empty this slot at the end."""
        self._slots.append(key)

    def keeps_slot(self, key: str, why: str) -> None:
        """The slot cannot be emptied any more."""
        self._slots = [one for one in self._slots if one != key]
        self.left_behind.append(f"slot {key} {why}")

    def close(self) -> None:
        """Take back what the run brought; never raises because of the server."""
        with self._stack:
            for key in self._jobs:
                self._remove(f"{FETCH}/{key}")
            for key in self._slots:
                with suppress(*FAULTS):
                    self.call("DELETE", f"{SLOTS}/{key}")
            for client in self._clients:
                log_out(client)

    def _remove(self, path: str) -> None:
        # The first DELETE may cancel only, and a download that installs must first end.
        until = time.monotonic() + min(self.patience_s, _REMOVAL_S)
        with suppress(*FAULTS):
            while self.call("GET", path).status == 200:
                if time.monotonic() > until:
                    self.left_behind.append(f"the server does not remove {path}")
                    return
                self.call("DELETE", path)
                time.sleep(POLL_S)


def log_out(client: Client) -> None:
    """End the session, if the server knows how; else it ends when it has been idle."""
    with suppress(*FAULTS):
        client.call("DELETE", "/api/authentication")


def local_address(url: str) -> str:
    """The address of this machine from which packets go to the server."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    family, kind, _, _, where = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind) as probe:
        probe.connect(where)  # sends nothing
        return str(probe.getsockname()[0])
