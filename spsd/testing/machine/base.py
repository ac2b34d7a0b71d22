"""The base of all rules: a server, an origin, the model, and the comparison with it."""

import functools
import hashlib
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any, ClassVar, Final

from hypothesis.stateful import RuleBasedStateMachine, invariant

from spsd.testing.client import Answer, Client
from spsd.testing.daemon import PASSWORD, USER, DaemonProcess, Tables
from spsd.testing.machine.snapshot import take_snapshot
from spsd.testing.model import Model, Status, must
from spsd.testing.origin import Origin, ThreadedOrigin

FETCH: Final = "/api/firmware/fetch"
SLOTS: Final = "/api/firmware/slots"
TEST: Final = "/api/firmware/test"
UPGRADE: Final = "/api/firmware/upgrade"
UPLOAD: Final = "/api/upload/firmware"
LOG_IN: Final = "/api/authentication"

CLOCK_JUMPS: Final = (5 * 60, 24 * 3600, -3600)
"""Seconds: a little, longer than a session lasts, and backwards."""
IDLE_S: Final = 20 * 60
"""A session expires when it has been idle for this long."""
SLACK_S: Final = 180
"""Tolerance: the server saves a session's last use only now and then, and a run takes real time."""

POLL_S: Final = 0.02

SETTINGS: Final[Tables] = {
    "slots": {"count": 3, "accept": "any"},
    "fetch": {
        "concurrent": 2,
        "attempts": 1000,
        "minimum_bytes_per_s": 500,
        "stall_window_s": 0.5,
        "backoff_limit_s": 0.1,
    },
}


def _images() -> tuple[bytes, ...]:
    random = Random("spsd's images")  # noqa: S311 - the same in every run
    return tuple(random.randbytes(size) for size in (20_000, 60_000, 300_000, 1))


class ServerMachine(RuleBasedStateMachine):
    """One run against one server; `FirmwareMachine` adds the rules.

    To test your own server, override `begin` so that it returns a client of it, and set `images`,
    `user` and `password` as it needs. The run removes its downloads and empties its slots. Rules
    that need a daemon on this machine, such as kills and reads of its disk, are then left out.
    """

    images: ClassVar[tuple[bytes, ...]] = _images()
    """The images that are installed, all different; the first must have 20,000 bytes or more."""
    daemon_settings: ClassVar[Tables] = SETTINGS
    """Settings of the daemon that `begin` starts, as for `DaemonProcess`."""
    user: ClassVar[str] = USER
    password: ClassVar[str] = PASSWORD
    has_history: ClassVar[bool] = True
    """Whether the server has ``…/history``, an addition of spsd to the API."""
    job_timeout_s: ClassVar[float] = 120
    """How long a job may take, in seconds, once the origin behaves well."""
    counts: ClassVar[Counter[str]] = Counter()
    """How often each kind of step was done, over all runs."""

    process: DaemonProcess | None = None
    """The daemon, if `begin` started it; None: a server elsewhere."""
    client: Client

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.notes: list[str] = []
        self.is_intact = True
        """Whether no check has failed so far and no step is unfinished."""
        self.origin_is_good = True
        self.submissions = 0
        self.unsettled: set[int] = set()
        """Slots of an interrupted upgrade, which may use them until the server has settled it."""
        self.idle_s = 0
        """How long the session has been idle, in seconds; only shifts of the clock count."""
        self.images_by_digest = {hashlib.sha256(image).hexdigest(): image for image in self.images}
        self.paths = {digest: f"/image/{n}" for n, digest in enumerate(self.images_by_digest)}
        self.model = Model({digest: len(image) for digest, image in self.images_by_digest.items()})
        self.root = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="spsd-")))
        objects = {path: self.images_by_digest[digest] for digest, path in self.paths.items()}
        self.origin = self.stack.enter_context(ThreadedOrigin(Origin(objects)))

    def begin(self) -> Client:
        """Start a daemon for this run, and return a client that is logged in."""
        process = DaemonProcess(self.root, settings=self.daemon_settings, boot="boot 0")
        process.set_clock(0)
        process.configure()
        for name, content in _state_with_user().items():
            path = process.state / name
            path.parent.mkdir(mode=0o700, exist_ok=True)
            path.write_bytes(content)
        self.process = process
        self.stack.callback(process.kill)
        process.start()
        return process.client()

    @property
    def is_up(self) -> bool:
        """Whether the server runs; a server elsewhere always does."""
        return self.process is None or self.process.pid is not None

    def begin_run(self) -> None:
        """Start the run: log in, clear the server, and let the model begin with its state."""
        self.counts["runs of the machine"] += 1
        self.client = self.begin()
        self._clear_server()
        before = take_snapshot(self)
        model = self.model
        model.slots, model.empty_slots = before.slots, before.empty_slots
        model.current_slots = frozenset({before.current_slot})
        if before.after_reboot != before.current_slot:
            model.chosen_slots = frozenset({before.after_reboot})

    @invariant()
    def check_model(self) -> None:
        """Compare a snapshot of the server with the model, if the server is up."""
        self.counts["steps"] += 1
        if hasattr(self, "client") and self.is_up:
            self.model.check(take_snapshot(self))
        self.is_intact = True

    def teardown(self) -> None:
        """Let every job end, with a good origin; after a failure print a report; then clean up."""
        try:
            if self.is_intact and hasattr(self, "client"):
                self._finish_all_jobs()
                self.is_intact = True
        finally:
            if not self.is_intact:
                sys.stdout.write(self.report())
            self.stack.close()
            super().teardown()

    def request(self, method: str, path: str, **more: Any) -> Answer:  # noqa: ANN401 - Client.call's
        """Send a request, and log in again if the session may have expired.

        Raises:
            BrokenPromiseError: The session expired too early or too late, the status is a 5xx, or
                an error response has no type or no message.
        """
        answer = self.call(method, path, **more)
        if answer.status == 401:
            must(self.idle_s > IDLE_S - SLACK_S, f"the session has expired early: {method} {path}")
            self.log_in()
            answer = self.call(method, path, **more)
        else:
            must(self.idle_s < IDLE_S + SLACK_S, f"the session should have expired: {self.idle_s}")
        self.idle_s = 0
        must(answer.status < 500, f"{method} {path}: {answer.status} {answer.content!r}")
        if answer.status >= 400:
            error = answer.document["error"]
            must(bool(error["type"] and error["message"]), f"an error without a text: {error}")
        return answer

    def call(self, method: str, path: str, **more: Any) -> Answer:  # noqa: ANN401 - Client.call's
        """Send a request with the current session, if there is one, and check nothing."""
        self.is_intact = False
        answer = self.client.call(method, path, **more)
        if method != "GET":
            self.note(f"{method} {path}: {answer.status}")
        return answer

    def log_in(self) -> None:
        """Open a session; its cookie replaces the one of the last session."""
        self.client.cookie = None
        answer = self.client.log_in(self.user, self.password)
        must(answer.status == 200, f"no log-in: {answer.status} {answer.content!r}")
        self.idle_s = 0

    def note(self, line: str) -> None:
        """Add a line to the report of a failure."""
        self.notes.append(line)

    def shift_clock(self, seconds: int) -> None:
        """Shift the daemon's clock; no effect for a server elsewhere."""
        if self.process is None or seconds == 0:
            return
        self.process.set_clock(self.process.clock_offset_s + seconds)
        self.idle_s += seconds
        self.counts["jumps of the clock"] += 1
        self.note(f"the clock jumps by {seconds} s")

    def status_of(self, key: str) -> Status:
        """The job's status in the last snapshot; queued if there was none yet."""
        body = self.model.jobs[key].body
        return Status.QUEUED if body is None else Status(body["status"])

    def restore_origin(self) -> None:
        """Let the origin serve the right images, without acts."""
        self.origin.script()
        for digest, path in self.paths.items():
            self.origin.swap(path, self.images_by_digest[digest])
        self.origin_is_good = True

    def wait_until(self, holds: Callable[[], bool], failure: str) -> None:
        """Take snapshots, and check each, until the condition holds.

        Raises:
            BrokenPromiseError: It did not hold within `job_timeout_s`; the message begins with
                `failure`.
        """
        deadline = time.monotonic() + self.job_timeout_s
        while True:
            self.model.check(take_snapshot(self))
            if holds():
                return
            must(time.monotonic() < deadline, f"{failure} within {self.job_timeout_s:g} s")
            time.sleep(POLL_S)

    def _clear_server(self) -> None:
        """Remove the jobs and images of earlier runs."""
        for key in take_snapshot(self).jobs:
            # The first DELETE cancels, the next removes; a job that installs its image ends soon.
            self._remove(f"{FETCH}/{key}")
        for slot, held in take_snapshot(self).slots.items():
            if held is not None:
                self.request("DELETE", f"{SLOTS}/{slot}")

    def _remove(self, path: str) -> None:
        deadline = time.monotonic() + self.job_timeout_s
        while self.request("DELETE", path).status != 404:
            must(time.monotonic() < deadline, f"{path} cannot be removed")

    def _finish_all_jobs(self) -> None:
        if self.process is not None and not self.is_up:
            self.process.start()
            self.client.url = self.process.url
        self.restore_origin()
        self.wait_until(lambda: not self.model.running, "a job is stuck: it did not end")
        failed = {
            job.sha256 for job in self.model.jobs.values() if job.possible == frozenset({"failed"})
        }
        if self.process is not None:
            staged = self.process.staged
            self.wait_until(lambda: set(staged()) <= failed, "staging was not cleaned up")
        self.counts["jobs that came to an end"] += len(self.model.jobs)

    def report(self) -> str:
        """The steps of the run so far and the end of the daemon's log, for a failed run."""
        report = "the run so far:\n" + "\n".join(self.notes)
        if self.process is not None and self.process.log.exists():
            log = self.process.log.read_text(encoding="utf-8").splitlines()
            report += "\nthe daemon's log ends with:\n" + "\n".join(log[-40:])
        return report + "\n"


@functools.cache
def _state_with_user() -> Mapping[str, bytes]:
    """The files of a state directory with an account; cached, as hashing a password is slow."""
    with tempfile.TemporaryDirectory(prefix="spsd-") as root:
        daemon = DaemonProcess(Path(root))
        daemon.configure()
        daemon.add_user()
        files = [path for path in daemon.state.iterdir() if path.is_file()]
        return {path.name: path.read_bytes() for path in files}
