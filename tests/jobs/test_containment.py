"""An exception that is no error of spsd ends the work on one job; the daemon and others go on."""

import asyncio
import hashlib
import inspect
import logging
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest

from spsd.daemon import open_daemon
from spsd.failures import FailureCode
from spsd.jobs.containment import Contained, ends_the_daemon, final_error
from spsd.jobs.job import Job, JobKey
from spsd.jobs.lifecycle import TERMINAL, JobState
from spsd.jobs.recovery import recover
from spsd.limits import Limits
from spsd.slots.ports import ImageInspector, SlotStore
from spsd.storage.faults import DatabaseError, DatabaseFault
from spsd.system.loop_thread import LoopEndedError
from spsd.testing.origin import CutAfter, Origin
from spsd.transfer.ports import Attempts, Partial, Staging
from testbed.daemons import APPLIANCE, prepare, settings
from testbed.waiting import until_seen
from tests.transfer.http.wire import wire
from tests.transfer.test_parallel import SPLITTING

BAD, GOOD, LATER = "/bad", "/good", "/later"
IMAGES = {path: path.encode() * 50_000 for path in (BAD, GOOD, LATER)}
SHA = {path: hashlib.sha256(content).hexdigest() for path, content in IMAGES.items()}
FETCH = {
    "concurrent": 2,
    "connections": 1,
    "attempts": 3,
    "backoff_initial_s": 0.001,
    "backoff_limit_s": 0.01,
    "stall_window_s": 5,
}
KINDS = [RecursionError(), MemoryError(), AssertionError()]


class Raising:
    """A port of which one method raises for the bad image; ``inner``: the value of a context."""

    def __init__(self, port, method, error, key=None):
        self._port, self._method, self._error, self._key = port, method, error, key

    def __getattr__(self, name):
        found = getattr(self._port, name)
        if name == "open":
            return self._opening
        if name != self._method:
            return found
        if inspect.iscoroutinefunction(found):

            async def call(*args, **more):
                if self._is_bad(args):
                    raise self._error
                return await found(*args, **more)

            return call

        def call_now(*args, **more):
            if self._is_bad(args):
                raise self._error
            return found(*args, **more)

        return call_now

    def _is_bad(self, args):
        if self._key is not None:
            return self._key == SHA[BAD]
        texts = [arg.sha256 if hasattr(arg, "sha256") else str(arg) for arg in args]
        return any(SHA[BAD] in text or text.endswith(BAD) for text in texts)

    @asynccontextmanager
    async def _opening(self, key):
        if self._method == "open" and key == SHA[BAD]:
            raise self._error
        async with self._port.open(key) as partial:
            yield Raising(partial, self._method, self._error, key)
            if self._method == "closing" and key == SHA[BAD]:
                raise self._error


def methods(port):
    """The methods of a protocol, without those that typing adds."""
    named = {name: value for name, value in vars(port).items() if not name.startswith("_")}
    return [name for name, value in named.items() if inspect.isfunction(value)]


CALLS = [
    *(("staged_images", name) for name in methods(ImageInspector)),
    *(("attempts", name) for name in methods(Attempts)),
    *(("slots", name) for name in methods(SlotStore) if name in ("install",)),
    *(("staging", name) for name in [*methods(Staging), "closing"]),
    *(("partial", name) for name in methods(Partial)),
]
NOT_CALLED = {
    ("staging", "free_bytes"),
    ("staging", "keys"),
    ("staging", "discard"),
    ("staging", "room_beyond"),
    ("partial", "append"),
    ("partial", "digest"),
}
"""Not called by the run of a job that fetches an image over one connection, or not with its key."""


@asynccontextmanager
async def running(root, wrap_ports, **fetch):
    await prepare(root)
    opening = open_daemon(
        settings(root, slots={"count": 4, "accept": "any"}, fetch=FETCH | fetch),
        appliance=APPLIANCE,
        limits=Limits(least_progress_bytes=10),
        wrap_ports=wrap_ports,
    )
    async with opening as daemon:
        yield daemon


def breaking(port, method, error):
    """A function that wraps the ports of a daemon; attempts run in this loop, over the port."""

    def wrap(ports):
        wrapped = port if port != "partial" else "staging"
        changed = replace(ports, **{wrapped: Raising(getattr(ports, wrapped), method, error)})
        if wrapped == "staging":
            # The attempts ask the staging directory for room themselves.
            changed.attempts._attempts.staging = changed.staging
        return changed

    return wrap


async def over(daemon, key):
    job = await until_seen(lambda: daemon.ports.jobs.get(key), lambda job: job.state in TERMINAL)
    await until_seen(
        lambda: asyncio.sleep(0, daemon.scheduler._running), lambda running: key not in running
    )
    return job


async def works(daemon, origin, path):
    job = await daemon.services.downloads.submit(origin.url(path), SHA[path])
    assert (await over(daemon, job.key)).state is JobState.FINISHED


def assert_slots_are_free(daemon):
    assert [daemon.reservations.holder(slot) for slot in range(1, 5)] == [None] * 4


@pytest.mark.parametrize(
    ("port", "method", "error"),
    [
        *((*call, KeyError("path table")) for call in CALLS),
        *(("staged_images", "inspect", error) for error in KINDS),
    ],
)
async def test_an_unexpected_exception_fails_one_job(tmp_path, caplog, port, method, error):
    async with Origin(IMAGES) as origin, running(tmp_path, breaking(port, method, error)) as daemon:
        bad = await daemon.services.downloads.submit(origin.url(BAD), SHA[BAD])
        await works(daemon, origin, GOOD)
        job = await over(daemon, bad.key)
        if (port, method) in NOT_CALLED:
            assert job.state is JobState.FINISHED
            return
        assert job.state is JobState.FAILED
        assert job.code is FailureCode.INTERNAL, job.error
        assert f"exception {type(error).__name__}" in job.error
        assert "path table" not in job.error
        tracebacks = [record for record in caplog.records if record.exc_info]
        assert [record.exc_info[1] for record in tracebacks] == [error]
        assert tracebacks[0].job == bad.key
        assert_slots_are_free(daemon)
        failed = daemon.adapters.metrics.registry.get_sample_value(
            "spsd_job_failures_total", {"code": "internal"}
        )
        assert failed == 1
        await works(daemon, origin, LATER)
    async with Origin(IMAGES) as origin, running(tmp_path, lambda ports: ports) as daemon:
        await works(daemon, origin, BAD)


async def test_the_bytes_of_a_job_that_fails_so_are_used_by_the_next(tmp_path):
    wrap = breaking("staged_images", "inspect", KeyError())
    async with Origin(IMAGES) as origin, running(tmp_path, wrap) as daemon:
        bad = await daemon.services.downloads.submit(origin.url(BAD), SHA[BAD])
        assert (await over(daemon, bad.key)).code is FailureCode.INTERNAL
    async with Origin(IMAGES) as origin, running(tmp_path, lambda ports: ports) as daemon:
        await works(daemon, origin, BAD)
        assert sum(request.sent for request in origin.requests) == 0


async def test_an_exception_in_a_lane_of_several_connections(tmp_path):
    """It comes in a group, from another thread's loop."""

    def wrap(ports):
        origin = ports.attempts._attempts.origin
        real = origin.open

        @asynccontextmanager
        async def opening(url, request):
            if request.stop and url.endswith(BAD):
                raise KeyError("a lane")
            async with real(url, request) as response:
                yield response

        ports.attempts._attempts.origin = SimpleNamespace(open=opening)
        ports.attempts._attempts.change_splitting(SPLITTING)
        return ports

    async with (
        Origin(IMAGES, send_buffer=4096) as origin,
        running(tmp_path, wrap) as daemon,
    ):
        bad = await daemon.services.downloads.submit(origin.url(BAD), SHA[BAD])
        await works(daemon, origin, GOOD)
        bad = await over(daemon, bad.key)
        assert bad.code is FailureCode.INTERNAL
        assert "exception KeyError" in bad.error
        assert_slots_are_free(daemon)


async def test_a_failed_reservation_fails_its_job(tmp_path):
    async def raises():
        raise KeyError

    async with Origin(IMAGES) as origin, running(tmp_path, lambda ports: ports) as daemon:
        daemon.reservations._store = SimpleNamespace(slots=raises)
        bad = await daemon.services.downloads.submit(origin.url(BAD), SHA[BAD])
        assert (await over(daemon, bad.key)).code is FailureCode.INTERNAL
        daemon.reservations._store = daemon.ports.slots
        await works(daemon, origin, GOOD)
        assert_slots_are_free(daemon)


class Observer:
    """An observer that raises at every change."""

    def __getattr__(self, name):
        raise KeyError(name)


async def test_an_observer_that_raises_changes_no_result(tmp_path):
    async with Origin(IMAGES) as origin, running(tmp_path, lambda ports: ports) as daemon:
        for jobs in (daemon.ports.jobs, daemon.ports.client_jobs):
            jobs._observers = (Observer(), *jobs._observers)
        await works(daemon, origin, GOOD)
        daemon.resources.board.subscribe(Observer())
        bad = await daemon.services.downloads.submit(origin.url(BAD), SHA[BAD])
        assert (await over(daemon, bad.key)).code is FailureCode.INTERNAL
        await daemon.services.downloads.delete(bad.key)


async def test_an_exception_while_a_job_is_cancelled(tmp_path):
    wrap = breaking("staging", "discard", KeyError())
    async with (
        Origin(IMAGES, always=CutAfter(100_000)) as origin,
        running(tmp_path, wrap, backoff_initial_s=60, backoff_limit_s=60) as daemon,
    ):
        bad = await daemon.services.downloads.submit(origin.url(BAD), SHA[BAD])
        await until_seen(
            lambda: daemon.ports.jobs.get(bad.key), lambda job: job.cause.value == "fail"
        )
        with pytest.raises(KeyError):
            await daemon.services.downloads.delete(bad.key)
        assert (await over(daemon, bad.key)).state is JobState.CANCELLED
        assert_slots_are_free(daemon)


class Row:
    """Rows of active jobs, of which the first cannot be settled."""

    def __init__(self, *jobs, fails=1):
        self.jobs, self.fails, self.moved = jobs, fails, []

    async def active(self):
        return self.jobs

    async def move(self, before, after):
        if before is self.jobs[0] and self.fails:
            self.fails -= 1
            raise KeyError
        self.moved.append(after)
        return after

    async def resumable_digests(self):
        return []


class Disk:
    """Slots and staging that raise where nothing else depends on it."""

    def __init__(self):
        self.discarded = []

    async def remove_leftovers(self):
        raise KeyError

    async def slots(self):
        return {}

    async def keys(self):
        return ["first", "second"]

    async def discard(self, key):
        self.discarded.append(key)
        raise KeyError(key)


def active_job(name):
    job = Job.submitted(JobKey(name), "http://x/", SHA[GOOD], now=1)
    return job.start(1, now=2)


async def test_a_job_that_cannot_be_recovered_fails_and_the_daemon_starts():
    jobs, disk = Row(active_job("a"), active_job("b")), Disk()
    await recover(jobs, disk, disk, budget=3, now=lambda: 3)
    assert [(job.key, job.state) for job in jobs.moved] == [
        ("a", JobState.FAILED),
        ("b", JobState.QUEUED),
    ]
    assert jobs.moved[0].code is FailureCode.INTERNAL
    assert disk.discarded == ["first", "second"]


async def test_a_database_that_refuses_that_keeps_the_daemon_from_starting():
    disk = Disk()
    with pytest.raises(KeyError):
        await recover(Row(active_job("a"), fails=2), disk, disk, budget=3, now=lambda: 3)


DATABASE = DatabaseError(DatabaseFault.UNREADABLE, "/x", "y")


@pytest.mark.parametrize(
    "error",
    [
        DATABASE,
        LoopEndedError(),
        ExceptionGroup("", [KeyError(), ExceptionGroup("", [DATABASE])]),
        SystemExit(1),
        KeyboardInterrupt(),
    ],
)
def test_what_is_not_contained(error):
    with pytest.raises(type(error)) as caught, Contained("work"):
        raise error
    assert caught.value is error


async def test_a_cancellation_is_contained_only_if_it_was_not_requested(caplog):
    with Contained("work") as contained:
        raise asyncio.CancelledError
    assert isinstance(contained.error, RuntimeError)
    assert caplog.records[0].levelno == logging.ERROR
    asyncio.current_task().cancel()
    with pytest.raises(asyncio.CancelledError), Contained("work"):
        await asyncio.sleep(0)
    asyncio.current_task().uncancel()


def test_the_names_of_a_group():
    group = ExceptionGroup("", [KeyError(), ExceptionGroup("", [ValueError(), KeyError()])])
    assert not ends_the_daemon(group)
    assert final_error(group).evidence == {"exception": "KeyError and ValueError"}


@pytest.mark.parametrize("pause", [0.1, 0.4])
async def test_a_malformed_chunk_fails_its_job_alone(tmp_path, caplog, pause):
    reply = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", pause, b"z\r\n"]
    async with (
        wire(reply, holds=True) as broken,
        Origin(IMAGES) as origin,
        running(tmp_path, lambda ports: ports, stall_window_s=60) as daemon,
    ):
        bad = await daemon.services.downloads.submit(broken.url(BAD), SHA[BAD])
        await works(daemon, origin, GOOD)
        assert (await over(daemon, bad.key)).code is FailureCode.PROTOCOL
        assert len(broken.requests) == FETCH["attempts"]
        assert_slots_are_free(daemon)
    assert not [record for record in caplog.records if record.exc_info]
