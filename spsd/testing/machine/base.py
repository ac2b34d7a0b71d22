"""What the rules stand on: a server, an origin, a model, and a look at all three."""

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
from spsd.testing.machine.looking import looked_at
from spsd.testing.model import Model, Status, must
from spsd.testing.origin import Origin, ThreadedOrigin

FETCH: Final = "/api/firmware/fetch"
SLOTS: Final = "/api/firmware/slots"
TEST: Final = "/api/firmware/test"
UPGRADE: Final = "/api/firmware/upgrade"
UPLOAD: Final = "/api/upload/firmware"
LOG_IN: Final = "/api/authentication"

CLOCK_JUMPS: Final = (5 * 60, 24 * 3600, -3600)
"""In seconds: a little, for longer than a session lasts, and back."""
IDLE_S: Final = 20 * 60
SLACK_S: Final = 180
"""A session's use is written down now and then only, and a run takes its time."""

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
    """One run against one server; `FirmwareMachine` has the rules.

    To try a server of your own, override `begin` so that it returns a client of it, and set
    `images`, `user` and `password` as it needs. Its downloads are removed and its slots emptied.
    What only a daemon on this machine can be asked,
    such as to be killed or to show its disk, is then left out.
    """

    images: ClassVar[tuple[bytes, ...]] = _images()
    """What may be installed; each is another. The first is to have 20,000 bytes or more."""
    settings_of_daemon: ClassVar[Tables] = SETTINGS
    user: ClassVar[str] = USER
    password: ClassVar[str] = PASSWORD
    has_history: ClassVar[bool] = True
    """Whether there is ``…/history``, which is spsd's own."""
    patience_s: ClassVar[float] = 120
    """How long a job may take, in seconds, once the origin behaves well."""
    tried: ClassVar[Counter[str]] = Counter()
    """How often each rule did something, over all runs."""

    process: DaemonProcess | None = None
    client: Client

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.told: list[str] = []
        self.whole = True
        """Nothing has been broken so far, and nothing is in the middle."""
        self.origin_is_good = True
        self.submissions = 0
        self.unsettled: set[int] = set()
        """Slots of an upgrade that was cut off; it may need them until it is settled."""
        self.idle_s = 0
        """How long the session has been idle, by jumps of the clock alone."""
        self.by_digest = {hashlib.sha256(image).hexdigest(): image for image in self.images}
        self.paths = {digest: f"/image/{n}" for n, digest in enumerate(self.by_digest)}
        self.model = Model({digest: len(image) for digest, image in self.by_digest.items()})
        self.root = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="spsd-")))
        objects = {path: self.by_digest[digest] for digest, path in self.paths.items()}
        self.origin = self.stack.enter_context(ThreadedOrigin(Origin(objects)))

    def begin(self) -> Client:
        """Start a daemon of this run's own, and return a client that is logged in."""
        process = DaemonProcess(self.root, settings=self.settings_of_daemon, boot="boot 0")
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
    def up(self) -> bool:
        """Whether the server is there to be asked."""
        return self.process is None or self.process.pid is not None

    def begin_run(self) -> None:
        """Begin, and take the server as it is for given."""
        self.tried["runs of the machine"] += 1
        self.client = self.begin()
        self._clear()
        before = looked_at(self)
        model = self.model
        model.held, model.empty = before.held, before.empty
        model.current = frozenset({before.current})
        if before.after_reboot != before.current:
            model.chosen = frozenset({before.after_reboot})

    @invariant()
    def every_promise_is_kept(self) -> None:
        """Look at the server, as far as it is up, and compare it with the model."""
        self.tried["steps"] += 1
        if hasattr(self, "client") and self.up:
            self.model.looked(looked_at(self))
        self.whole = True

    def teardown(self) -> None:
        """Let every job come to its end, with a good origin; then clear up."""
        try:
            if self.whole and hasattr(self, "client"):
                self._to_the_end()
                self.whole = True
        finally:
            if not self.whole:
                sys.stdout.write(self.account())
            self.stack.close()
            super().teardown()

    def ask(self, method: str, path: str, **more: Any) -> Answer:  # noqa: ANN401 - Client.call's
        """Ask the server, and log in again if the session may have expired."""
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
            must(bool(error["type"] and error["message"]), f"an error without a word: {error}")
        return answer

    def call(self, method: str, path: str, **more: Any) -> Answer:  # noqa: ANN401 - Client.call's
        """Ask the server, whoever is logged in."""
        self.whole = False
        answer = self.client.call(method, path, **more)
        if method != "GET":
            self.note(f"{method} {path}: {answer.status}")
        return answer

    def log_in(self) -> None:
        """Begin a session."""
        self.client.cookie = None
        answer = self.client.log_in(self.user, self.password)
        must(answer.status == 200, f"no log-in: {answer.status} {answer.content!r}")
        self.idle_s = 0

    def note(self, what: str) -> None:
        """Remember for the account of a failure."""
        self.told.append(what)

    def jump(self, seconds: int) -> None:
        """Let the daemon's clock jump."""
        if self.process is None or seconds == 0:
            return
        self.process.set_clock(self.process.clock_offset_s + seconds)
        self.idle_s += seconds
        self.tried["jumps of the clock"] += 1
        self.note(f"the clock jumps by {seconds} s")

    def status_of(self, key: str) -> Status:
        """What the last look has shown; queued if there was none yet."""
        body = self.model.jobs[key].body
        return Status.QUEUED if body is None else Status(body["status"])

    def mend(self) -> None:
        """Make the origin an excellent one."""
        self.origin.script()
        for digest, path in self.paths.items():
            self.origin.swap(path, self.by_digest[digest])
        self.origin_is_good = True

    def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        """Look again and again; complains if it takes too long."""
        deadline = time.monotonic() + self.patience_s
        while True:
            self.model.looked(looked_at(self))
            if holds():
                return
            must(time.monotonic() < deadline, f"{what} within {self.patience_s:g} s")
            time.sleep(POLL_S)

    def _clear(self) -> None:
        """Take away what an earlier run has left."""
        for key in looked_at(self).jobs:
            # Cancelled, and removed; what is being installed is over soon.
            self._until_gone(f"{FETCH}/{key}")
        for slot, held in looked_at(self).held.items():
            if held is not None:
                self.ask("DELETE", f"{SLOTS}/{slot}")

    def _until_gone(self, path: str) -> None:
        deadline = time.monotonic() + self.patience_s
        while self.ask("DELETE", path).status != 404:
            must(time.monotonic() < deadline, f"{path} cannot be removed")

    def _to_the_end(self) -> None:
        if self.process is not None and not self.up:
            self.process.start()
            self.client.url = self.process.url
        self.mend()
        self.wait_until(lambda: not self.model.running, "a job is stuck: it did not end")
        failed = {
            job.sha256 for job in self.model.jobs.values() if job.may_be == frozenset({"failed"})
        }
        if self.process is not None:
            staged = self.process.staged
            self.wait_until(lambda: set(staged()) <= failed, "staging was not tidied")
        self.tried["jobs that came to an end"] += len(self.model.jobs)

    def account(self) -> str:
        """What was done so far, and what the daemon said, for whoever reads of a failure."""
        account = "the run so far:\n" + "\n".join(self.told)
        if self.process is not None and self.process.log.exists():
            log = self.process.log.read_text(encoding="utf-8").splitlines()
            account += "\nthe daemon's log ends with:\n" + "\n".join(log[-40:])
        return account + "\n"


@functools.cache
def _state_with_user() -> Mapping[str, bytes]:
    """The files of a state directory with an account: passwords are slow to hash, on purpose."""
    with tempfile.TemporaryDirectory(prefix="spsd-") as root:
        daemon = DaemonProcess(Path(root))
        daemon.configure()
        daemon.add_user()
        files = [path for path in daemon.state.iterdir() if path.is_file()]
        return {path.name: path.read_bytes() for path in files}
