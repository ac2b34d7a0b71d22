"""One run of a daemon whose ports can fail: faults are injected at their calls.

A directory and an origin remain after the run. A run ends with a graceful stop, by a failure
outside the work on one job (docs/decisions/0034-one-job-fails.md), or as a killed process does.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from spsd.adapters import Ports
from spsd.clock import Clock
from spsd.daemon import Daemon, open_daemon
from spsd.jobs.job import Job, JobKey
from spsd.jobs.lifecycle import TERMINAL
from spsd.jobs.run import RunResources
from spsd.jobs.scheduler import Scheduler
from spsd.jobs.service import Downloads
from spsd.jobs.sqlite import SqliteJobs
from spsd.limits import Limits
from spsd.slots.reservations import Reservations
from spsd.slots.service import Slots
from spsd.slots.upgrade import Upgrade
from spsd.slots.upload import Uploads
from spsd.storage.database import open_database
from spsd.testing.origin import Origin
from spsd.transfer.attempt import LocalAttempts
from spsd.transfer.http.addresses import AddressPolicy
from spsd.transfer.http.origin import Limits as OriginLimits
from spsd.transfer.http.origin import open_origin
from spsd.transfer.http.tls import Trust
from testbed.daemons import APPLIANCE, settings
from tests.faults.pieces import Gate, PiecewiseOrigin
from tests.faults.steps import Fault, Killed, Stepped, Steps, leaves
from tests.slots.upgrading import RebootCounter

COUNT = 3
BUDGET = 3
STUCK_AFTER_S = 20.0
LIMITS = OriginLimits(
    connect_timeout_s=10, minimum_bytes_per_s=1, stall_window_s=10, rate_limit_bytes_per_s=0
)
FETCH = {
    "concurrent": 2,
    "attempts": BUDGET,
    "backoff_initial_s": 0.001,
    "backoff_limit_s": 0.002,
    # A tenth of a piece is enough progress to reset the budget of attempts, which is a step.
    "minimum_bytes_per_s": 10,
    "stall_window_s": 10,
}
Request = Callable[[], Coroutine[Any, Any, Any]]
_request_task: ContextVar[asyncio.Task[Any] | None] = ContextVar(
    "whose request this is", default=None
)
_trust = Trust.for_policy("verify", None)


@dataclass
class Place:
    """What remains between runs of the daemon, and what a client knows of its jobs."""

    root: Path
    origin: Origin
    acknowledged: dict[JobKey, str] = field(default_factory=dict)
    """The last acknowledged state of each job: ``queued``, ``cancelled`` or ``removed``."""
    deleting: set[JobKey] = field(default_factory=set)
    """The jobs for which a client sent a DELETE, with or without a response."""
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.staging, self.slots = self.root / "staging", self.root / "slots"

    def staged(self) -> set[str]:
        return {path.name for path in self.staging.iterdir()}

    def partial_bytes(self, sha256: str) -> int:
        """Bytes of the partial file."""
        image = self.staging / sha256 / "image"
        return image.stat().st_size if image.exists() else 0


class DaemonRun:
    """A daemon in this process: ``start`` it, and ``end`` it in every case."""

    def __init__(self, place: Place, steps: Steps, jobs: SqliteJobs, origin: Any) -> None:
        self.place = place
        self.steps = steps
        self.rows = jobs
        self.reboot = RebootCounter()
        self.failures: list[BaseException] = []
        self.answers: list[object] = []
        self.gate = Gate(self.notify)
        self.daemon: Daemon | None = None
        self._listening = True
        self._origin = origin
        self._notified = 0
        self._notified_event = asyncio.Event()
        self._root: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[Any]] = []

    def _through(self, ports: Ports) -> Ports:
        """Wrap every port; attempts run in this event loop, so that their order is fixed."""
        steps = self.steps
        staging = Stepped("staging", ports.staging, steps)
        jobs = Stepped("jobs", ports.jobs, steps)
        origin = Stepped("origin", PiecewiseOrigin(self._origin, self.gate), steps)
        return replace(
            ports,
            jobs=jobs,
            client_jobs=jobs,
            staging=staging,
            slots=Stepped("slots", ports.slots, steps),
            staged_images=Stepped("inspector", ports.staged_images, steps),
            installed_images=Stepped("volume", ports.installed_images, steps),
            room=Stepped("room", ports.room, steps),
            attempts=LocalAttempts(origin, staging, now=_now),
            choice=Stepped("choice", ports.choice, steps),
            hooks=Stepped("hooks", ports.hooks, steps),
            reboot=self.reboot,
        )

    @property
    def _running(self) -> Daemon:
        assert self.daemon is not None, "the run ended before the daemon was open"
        return self.daemon

    @property
    def resources(self) -> RunResources:
        return self._running.resources

    @property
    def store(self) -> Any:
        return self._running.ports.slots

    @property
    def slots(self) -> Slots:
        return self._running.services.slots

    @property
    def upgrade(self) -> Upgrade:
        return self._running.services.upgrade

    @property
    def uploads(self) -> Uploads:
        return self._running.services.uploads

    @property
    def downloads(self) -> Downloads:
        return self._running.services.downloads

    @property
    def scheduler(self) -> Scheduler:
        return self._running.scheduler

    @property
    def reservations(self) -> Reservations:
        return self._running.reservations

    async def start(self, *, counts: bool) -> None:
        """Start the daemon; with ``counts`` the steps of its recovery count, too."""
        steps = self.steps
        steps.counting = counts
        steps.actions = {
            **dict.fromkeys(Fault, lambda _: self.stop()),
            **dict.fromkeys(
                (Fault.CANCEL_BEFORE, Fault.CANCEL_DURING, Fault.CANCEL_AFTER), self._cancel
            ),
            Fault.DELETE: self._delete,
        }
        # Without jobs to run, the scheduler's first query does not count, whichever task is first.
        looks = all(job.state in TERMINAL for job in await self.rows.list())
        # With jobs to run, the scheduler begins before the daemon listens.
        steps.counts_from = lambda task: not looks and task is not self._root
        self._root = asyncio.create_task(self._run(), name="root")
        self._root.add_done_callback(lambda _: self.notify())
        while not (self.is_over or (self.daemon is not None and self._notified >= looks)):
            self._notified_event.clear()
            await self._notified_event.wait()
        steps.counting = True

    async def _run(self) -> None:
        facts = self.place.facts
        opening = open_daemon(
            settings(
                self.place.root,
                slots={"count": COUNT, "accept": "any"},
                fetch=FETCH,
                upgrade={
                    "hook_timeout_s": 20,
                    "test_hooks": facts.get("test_hooks", ()),
                    "activate_hook": facts.get("activate_hook", ""),
                },
            ),
            appliance=replace(APPLIANCE, booted_slot=1),
            clock=Clock(_now, _now),
            limits=Limits(least_progress_bytes=10),
            report=self._on_report,
            wrap_ports=self._through,
        )
        async with opening as self.daemon:
            for task in self._resuming():
                task.add_done_callback(lambda _: self.notify())
            self.notify()
            try:
                await asyncio.Event().wait()
            finally:
                await self._hang_up()

    async def _hang_up(self) -> None:
        """End all requests, as the server does before its services are closed."""
        self._listening = False
        for task in self._tasks:
            task.cancel()
        while pending := [task for task in self._tasks if not task.done()]:
            await asyncio.wait(pending)

    def _resuming(self) -> list[asyncio.Task[Any]]:
        """The task that settles an interrupted upgrade, if it has not ended."""
        return [task for task in asyncio.all_tasks() if task.get_name() == "resume of an upgrade"]

    def _on_report(self, _: str) -> None:
        self._notified += 1
        self.notify()

    def notify(self) -> None:
        """Wake the tasks that wait for a change."""
        self._notified_event.set()

    @property
    def is_over(self) -> bool:
        return self._root is None or self._root.done() or self.steps.is_killed

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until the condition holds, or no work is left, or the run is over."""
        try:
            async with asyncio.timeout(STUCK_AFTER_S):
                while True:
                    self._notified_event.clear()
                    if self.is_over or holds() or await self._is_at_rest():
                        return
                    await self._notified_event.wait()
        except TimeoutError:
            rows = [(job.state, job.cause) for job in await self.rows.list()]
            raise AssertionError(f"no progress: {rows}, {self.steps.trace}") from None

    async def idle(self) -> None:
        """Open the gate, and wait until every job and every request is over."""
        self.gate.open()
        await self.until(lambda: False)

    async def _is_at_rest(self) -> bool:
        over = all(job.state in TERMINAL for job in await self.rows.list())
        # Only when the scheduler waits again: a lease that meets a cancel still holds a slot.
        wake = self.scheduler._wake
        waits = bool(wake._waiters) and not wake.is_set()
        idle = waits and not self.scheduler._running
        resumed = not self._resuming()
        return over and idle and resumed and all(task.done() for task in self._tasks)

    async def ask(self, request: Request) -> Any:
        """Run the request; returns its result, or None if it has none for any reason."""
        if self.is_over or not self._listening:
            return None
        task = asyncio.create_task(self._answering(request), name="request")
        task.add_done_callback(lambda _: self.notify())
        self._tasks.append(task)
        await asyncio.wait([task])
        if task.cancelled():
            return None
        if (error := task.exception()) is not None:
            if not isinstance(error, Killed):
                self.answers.append(error)
            return None
        return task.result()

    async def _answering(self, request: Request) -> Any:
        _request_task.set(asyncio.current_task())
        return await request()

    async def submit(self, path: str, sha256: str) -> JobKey | None:
        """Submit a download as a client; returns the key, or None if there is no response."""
        reports_before = self._notified
        url = self.place.origin.url(path)
        job = await self.ask(lambda: self.downloads.submit(url, sha256))
        if not isinstance(job, Job):
            return None
        self.place.acknowledged[job.key] = "queued"
        # Wait for the scheduler, so that two requests in a row make the same steps in every run.
        await self.until(
            lambda: self._notified > reports_before and not self.scheduler._wake.is_set()
        )
        return job.key

    async def delete(self, key: JobKey | None) -> None:
        """DELETE the job as a client, which cancels or removes it."""
        job = await self.rows.get(key) if key is not None else None
        if job is None:
            return
        self.place.deleting.add(key)
        if await self.ask(lambda: self._deleted(key)):
            # The row shows whether it was cancelled or removed: the job may have been over by then.
            is_removed = await self.rows.get(key) is None
            self.place.acknowledged[key] = "removed" if is_removed else "cancelled"

    async def _deleted(self, key: JobKey) -> bool:
        await self.downloads.delete(key)
        return True

    def stop(self) -> None:
        """Stop gracefully: running jobs are queued again, and open requests are cancelled."""
        # Only once: a second cancel would end the wait for the requests and close what they use.
        if self._root is not None and not self._root.cancelling():
            self._root.cancel()
        for task in self._tasks:
            task.cancel()
        self.notify()

    def _cancel(self, task: asyncio.Task[Any]) -> None:
        if task.get_name() == "scheduler":
            self.stop()  # only a stop cancels it
        elif not task.get_name().startswith("Task-"):
            task.cancel()
        # Work that runs to completion has its own task; the task that waits for it is cancelled.
        elif (caller := _request_task.get()) is not None:
            caller.cancel()
        else:
            self.stop()

    def _delete(self, _: asyncio.Task[Any]) -> None:
        self._tasks.append(asyncio.create_task(self._delete_all(), name="deleting"))

    async def _delete_all(self) -> None:
        # Wait until the daemon is open.
        while self.daemon is None and not self.is_over:
            await asyncio.sleep(0)
        for job in await self.rows.list():
            await self.delete(job.key)
        self.notify()

    async def end(self) -> None:
        """Stop, and record the failures that ended the run, if it was not the stop."""
        self.stop()
        tasks = [task for task in (self._root, *self._tasks) if task is not None]
        # A request that was cancelled before may still have work to complete.
        _, pending = await asyncio.wait(tasks, timeout=STUCK_AFTER_S)
        assert not pending, f"these tasks do not stop: {pending}, after {self.steps.trace}"
        for task in tasks:
            if not task.cancelled() and task is self._root and (error := task.exception()):
                self.failures.extend(leaves(error))


@asynccontextmanager
async def daemon_run(place: Place, steps: Steps) -> AsyncIterator[DaemonRun]:
    """A run that is not started; leaving the context ends it and closes its resources."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(place.root / "spsd.sqlite"))
        policy = AddressPolicy(["127.0.0.0/8"])
        origin = await stack.enter_async_context(open_origin(policy, _trust, LIMITS))
        run = DaemonRun(place, steps, SqliteJobs(database), origin)
        try:
            yield run
        finally:
            await run.end()


def _now() -> int:
    return 1_700_000_000
