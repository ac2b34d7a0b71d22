"""The daemon's metrics: counted in memory, written as Prometheus reads them.

Nothing is stored, so every count begins at 0 with the daemon; only the number of jobs is read once,
at the start, and kept up to date by the changes. The text is made in a thread from a copy: nothing
is locked, and no request waits for it.
"""

import asyncio
import platform
import shutil
import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Protocol

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from spsd import __version__
from spsd.failures import FailureCode
from spsd.jobs.job import Job, JobKey
from spsd.jobs.lifecycle import TERMINAL, TRANSITIONS, JobState, Trigger
from spsd.slots.model import BrokenSlot, SlotContent
from spsd.slots.service import Slots
from spsd.system.loop_thread import DOWNLOADS, REQUESTS
from spsd.transfer.ports import Progress


@dataclass(frozen=True, slots=True)
class Observed:
    """``counts`` has one more than ``bounds``: what was above all of them. Not cumulative."""

    bounds: Sequence[float]
    counts: Sequence[int]
    sum: float


class Histogram:
    """Counts values; a bound belongs to the values below it."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """``bounds`` ascend."""
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one; a clock that was set back makes it 0."""
        value = max(0.0, value)
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def observed(self) -> Observed:
        """What was counted up to now."""
        return Observed(self._bounds, tuple(self._counts), self._sum)


WINDOW_S = 10.0
"""What counts as lately."""
_BUCKETS = 40


class Throughput:
    """A sum of all bytes, and their rate over the last seconds; times are any monotonic seconds."""

    def __init__(self, *, now: float) -> None:
        self.total = 0
        self._began = now
        self._lately: deque[tuple[float, int]] = deque()

    def count(self, size: int, now: float) -> None:
        """``size`` bytes have come."""
        self.total += size
        if self._lately and now - self._lately[-1][0] < WINDOW_S / _BUCKETS:
            since, before = self._lately[-1]
            self._lately[-1] = (since, before + size)
        else:
            self._lately.append((now, size))
        self._forget(now)

    def rate(self, now: float) -> float:
        """Bytes a second; over the whole life while that is shorter than the window."""
        self._forget(now)
        over = min(WINDOW_S, now - self._began)
        return sum(size for _, size in self._lately) / over if over > 0 else 0.0

    def _forget(self, now: float) -> None:
        while self._lately and now - self._lately[0][0] > WINDOW_S:
            self._lately.popleft()


LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
LONG_S = (1, 5, 15, 60, 300, 900, 1800, 3600, 7200, 14400, 43200, 86400)


class Meter:
    """Told of what happens; read by whoever is asked for metrics."""

    def __init__(self) -> None:
        self.jobs: Counter[JobState] = Counter(dict.fromkeys(JobState, 0))
        self.transitions: Counter[tuple[Trigger, JobState]] = Counter(dict.fromkeys(_moves(), 0))
        self.retries: Counter[FailureCode] = Counter(dict.fromkeys(FailureCode, 0))
        self.failures: Counter[FailureCode] = Counter(dict.fromkeys(FailureCode, 0))
        self.waits = Histogram(LONG_S)
        self.durations = {state: Histogram(LONG_S) for state in JobState if state in TERMINAL}
        self.answers: dict[tuple[str, str, str], Histogram] = {}
        self.lags = {loop: Histogram(LATENCY_S) for loop in (REQUESTS, DOWNLOADS)}
        self._received = Throughput(now=time.monotonic())
        self._reached: dict[JobKey, int] = {}

    def begin(self, jobs: Mapping[JobState, int]) -> None:
        """So many rows were there at the start."""
        self.jobs.update(jobs)

    def added(self, job: Job) -> None:
        """A row is there."""
        self.jobs[job.state] += 1
        self.transitions[job.cause, job.state] += 1

    def moved(self, before: Job, after: Job) -> None:
        """A row is another now."""
        self.jobs[before.state] -= 1
        self.jobs[after.state] += 1
        self.transitions[after.cause, after.state] += 1
        if after.code is not None:
            told = self.failures if after.state is JobState.FAILED else self.retries
            told[after.code] += 1
        if before.started_at is None and after.started_at is not None:
            self.waits.observe(after.started_at - after.created_at)
        if after.state in TERMINAL:
            self.durations[after.state].observe(
                after.changed_at - (after.started_at or after.changed_at)
            )

    def removed(self, job: Job) -> None:
        """A row is gone."""
        self.jobs[job.state] -= 1

    def progressed(self, key: JobKey, progress: Progress) -> None:
        """A running download is this far; what it began with was not received now."""
        before = self._reached.get(key, progress.done)
        self._reached[key] = progress.done
        if progress.done > before:
            self._received.count(progress.done - before, time.monotonic())

    def stopped(self, key: JobKey) -> None:
        """Nobody works on the job any more."""
        self._reached.pop(key, None)

    @property
    def received_bytes(self) -> int:
        """What downloads have brought, in bytes, whether it was of use or not."""
        return self._received.total

    @property
    def receive_rate(self) -> float:
        """Bytes a second, over the last ten seconds."""
        return self._received.rate(time.monotonic())

    def answered(self, method: str, route: str, status: str, seconds: float) -> None:
        """A request was answered; all three come from short, closed lists."""
        series = (method, route, status)
        if series not in self.answers:
            self.answers[series] = Histogram(LATENCY_S)
        self.answers[series].observe(seconds)

    def lagged(self, loop: str, seconds: float) -> None:
        """A loop was so late with something that was due."""
        self.lags[loop].observe(seconds)


OPEN_METRICS = "application/openmetrics-text"
"""The media type of the form that a client may prefer to Prometheus's own."""


class Exposition(Protocol):
    """All metrics as text."""

    async def text(self, accept: str) -> tuple[bytes, str]:
        """The text, and its content type, in the form that ``accept`` (RFC 9110) prefers."""


def _moves() -> list[tuple[Trigger, JobState]]:
    moves = [(Trigger(str(one["trigger"])), JobState(str(one["dest"]))) for one in TRANSITIONS]
    return [(Trigger.SUBMIT, JobState.QUEUED), *moves]


Labelled = Mapping[tuple[str, ...], float]
_NOT_A_NUMBER = float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where the values come from, beside the meter; the callables only look into memory."""

    slots: Slots
    directories: Mapping[str, Path]
    database_reads: Callable[[], int]
    connections: Callable[[], int]
    followers: Callable[[], int]


class PrometheusText:
    """Implements the port ``Exposition``."""

    def __init__(self, meter: Meter, sources: Sources) -> None:
        self._meter = meter
        self._sources = sources

    async def text(self, accept: str) -> tuple[bytes, str]:
        """Prometheus's text, or OpenMetrics where ``accept`` names it; and the content type."""
        held = await self._sources.slots.list()
        families = [
            *_of_jobs(self._meter),
            *_of_slots(held, self._sources.slots.current),
            *_of_service(
                self._meter,
                reads=self._sources.database_reads(),
                connections=self._sources.connections(),
                followers=self._sources.followers(),
            ),
        ]
        return await asyncio.to_thread(_written, families, self._sources.directories, accept)


def reference() -> str:
    """Every metric of spsd's own as a row of a Markdown table."""
    meter = Meter()
    meter.answered("", "", "", 0)
    families = [
        *_of_jobs(meter),
        *_of_slots({}, None),
        *_of_disks({"slots": Path("/")}),
        *_of_service(meter, reads=0, connections=0, followers=0),
    ]
    rows = ["| Metric | Type | Labels | Meaning |", "|---|---|---|---|"]
    for one in families:
        name = f"{one.name}_total" if one.type == "counter" else one.name
        labels = ", ".join(f"`{label}`" for label in one.samples[0].labels if label != "le")
        rows.append(f"| `{name}` | {one.type} | {labels} | {one.documentation} |")
    return "\n".join(rows)


def _written(
    families: list[Metric], directories: Mapping[str, Path], accept: str
) -> tuple[bytes, str]:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Scrape([*families, *_of_disks(directories)]))
    ProcessCollector(registry=registry)
    encode, content_type = choose_encoder(
        f"{OPEN_METRICS}; version=1.0.0" if prefers_open_metrics(accept) else ""
    )
    return encode(registry), content_type


def prefers_open_metrics(accept: str) -> bool:
    """Whether the client can read it; the library's own choice fails on odd versions."""
    ranges = ("".join(one.lower().split()).split(";") for one in accept.split(","))
    return any(media == OPEN_METRICS and "q=0" not in more for media, *more in ranges)


class _Scrape(Collector):
    """What one scrape tells."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _of_jobs(meter: Meter) -> list[Metric]:
    return [
        _gauge(
            "spsd_jobs", "Records of downloads.", {(s,): n for s, n in meter.jobs.items()}, "state"
        ),
        _gauge(
            "spsd_queue_length",
            "Downloads that wait to be started.",
            {(): meter.jobs[JobState.QUEUED]},
        ),
        _counter(
            "spsd_job_transitions",
            "Moves of downloads, by what moved them and where to.",
            {(cause, state): n for (cause, state), n in meter.transitions.items()},
            *("cause", "state"),
        ),
        _counter(
            "spsd_job_retries",
            "Failed attempts after which a download went on, by failure code.",
            {(code,): count for code, count in meter.retries.items()},
            "code",
        ),
        _counter(
            "spsd_job_failures",
            "Downloads that failed for good, by failure code.",
            {(code,): count for code, count in meter.failures.items()},
            "code",
        ),
        _histogram(
            "spsd_job_wait_seconds",
            "From the request for a download to its first start.",
            {(): meter.waits.observed()},
        ),
        _histogram(
            "spsd_job_duration_seconds",
            "From the first start of a download to its end.",
            {(state,): one.observed() for state, one in meter.durations.items()},
            "state",
        ),
        _counter(
            "spsd_received_bytes",
            "Bytes of images that downloads have received, those received again included.",
            {(): meter.received_bytes},
        ),
        _gauge(
            "spsd_receive_rate_bytes_per_second",
            "What downloads receive, over the last ten seconds.",
            {(): meter.receive_rate},
        ),
    ]


def _of_slots(held: Mapping[int, SlotContent], current: int | None) -> list[Metric]:
    empty = sum(content is None for content in held.values())
    broken = sum(isinstance(content, BrokenSlot) for content in held.values())
    return [
        _gauge("spsd_slots", "Firmware slots.", {(): len(held)}),
        _gauge("spsd_slots_empty", "Firmware slots that hold nothing.", {(): empty}),
        _gauge("spsd_slots_broken", "Firmware slots without a readable manifest.", {(): broken}),
        _gauge(
            "spsd_current_slot", "The slot that runs; 0 while nobody knows.", {(): current or 0}
        ),
    ]


def _of_service(meter: Meter, *, reads: int, connections: int, followers: int) -> list[Metric]:
    build: Labelled = {(__version__, platform.python_version()): 1.0}
    return [
        _gauge("spsd_build_info", "Which spsd this is; always 1.", build, "version", "python"),
        _histogram(
            "spsd_http_request_duration_seconds",
            "From the head of a request to the head of its answer, but for those that wait.",
            {series: one.observed() for series, one in meter.answers.items()},
            *("method", "route", "status"),
        ),
        _gauge("spsd_http_connections", "Open connections of clients.", {(): connections}),
        _gauge(
            "spsd_http_followers",
            "Clients that wait for a change, or read events along.",
            {(): followers},
        ),
        _histogram(
            "spsd_event_loop_lag_seconds",
            "How late an event loop was with what was due, looked at once a second.",
            {(loop,): one.observed() for loop, one in meter.lags.items()},
            "loop",
        ),
        _counter("spsd_database_reads", "Reads of the database.", {(): reads}),
    ]


def _of_disks(directories: Mapping[str, Path]) -> list[Metric]:
    """Of each directory's file system; NaN where the disk does not answer."""
    usage = {(name,): _usage(path) for name, path in directories.items()}
    free: Labelled = {labels: free for labels, (_, free) in usage.items()}
    size: Labelled = {labels: size for labels, (size, _) in usage.items()}
    return [
        _gauge("spsd_disk_free_bytes", "Room on the directory's file system.", free, "directory"),
        _gauge("spsd_disk_size_bytes", "Size of the directory's file system.", size, "directory"),
    ]


def _usage(path: Path) -> tuple[float, float]:
    try:
        usage = shutil.disk_usage(path)
    except OSError:
        return _NOT_A_NUMBER, _NOT_A_NUMBER
    return usage.total, usage.free


def _gauge(name: str, meaning: str, values: Labelled, *labels: str) -> Metric:
    return _filled(GaugeMetricFamily(name, meaning, labels=labels), values)


def _counter(name: str, meaning: str, values: Labelled, *labels: str) -> Metric:
    return _filled(CounterMetricFamily(name, meaning, labels=labels), values)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, values: Labelled) -> Metric:
    for labelled, value in values.items():
        family.add_metric(labelled, value)
    return family


def _histogram(
    name: str, meaning: str, values: Mapping[tuple[str, ...], Observed], *labels: str
) -> Metric:
    family = HistogramMetricFamily(name, meaning, labels=labels)
    for labelled, one in values.items():
        bounds = (*(str(float(bound)) for bound in one.bounds), "+Inf")
        family.add_metric(labelled, list(zip(bounds, accumulate(one.counts), strict=True)), one.sum)
    return family
