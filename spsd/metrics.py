"""The metrics of one daemon, as objects of prometheus-client in a registry of their own.

:class:`Metrics` holds what is counted when it happens: job transitions, received bytes, requests,
loop lag. :class:`ScrapedMetrics` holds what is read for each scrape: slots, disks, connections.
:class:`Exposition` writes both as text, in a thread. Nothing is stored: every counter begins at 0
when the daemon starts; the numbers of jobs are read from the database once, at the start.
(docs/decisions/0024 and 0032)
"""

import asyncio
import platform
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, Metric
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

LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
LONG_S = (1, 5, 15, 60, 300, 900, 1800, 3600, 7200, 14400, 43200, 86400)
OPEN_METRICS = "application/openmetrics-text"
"""The media type of OpenMetrics, which a client may prefer to the text format of Prometheus."""


class Registry(CollectorRegistry):
    """A registry without the ``_created`` series.

    The library can only switch them off for the whole process, and a daemon may run in a process
    of others (``open_daemon``).
    """

    def collect(self) -> Iterable[Metric]:
        """Every metric of every collector."""
        for metric in super().collect():
            created = f"{metric.name}_created"
            metric.samples = [sample for sample in metric.samples if sample.name != created]
            yield metric


class Metrics:
    """The metrics of events; an observer of jobs and of their progress.

    Every label combination exists from the start with the value 0, except those of requests.
    """

    def __init__(self) -> None:
        self.registry = Registry()
        self.jobs = Gauge(
            "spsd_jobs",
            "Download jobs in the database, by state.",
            ["state"],
            registry=self.registry,
        )
        self.queue_length = Gauge(
            "spsd_queue_length",
            "Download jobs that wait for their start.",
            registry=self.registry,
        )
        self.transitions = Counter(
            "spsd_job_transitions_total",
            "State transitions of download jobs, by cause and new state.",
            ["cause", "state"],
            registry=self.registry,
        )
        self.retries = Counter(
            "spsd_job_retries_total",
            "Failed attempts of download jobs that continue, by failure code.",
            ["code"],
            registry=self.registry,
        )
        self.failures = Counter(
            "spsd_job_failures_total",
            "Download jobs that ended in the state failed, by failure code.",
            ["code"],
            registry=self.registry,
        )
        self.wait = Histogram(
            "spsd_job_wait_seconds",
            "Time from the submission of a download job to its first start.",
            buckets=LONG_S,
            registry=self.registry,
        )
        self.duration = Histogram(
            "spsd_job_duration_seconds",
            "Time from the first start of a download job to its end, by final state.",
            ["state"],
            buckets=LONG_S,
            registry=self.registry,
        )
        self.received = Counter(
            "spsd_received_bytes_total",
            "Image bytes that downloads have received, including bytes received again.",
            registry=self.registry,
        )
        self.requests = Histogram(
            "spsd_http_request_duration_seconds",
            "Time from the head of a request to the head of its response, "
            "without requests that wait for a change.",
            ["method", "route", "status"],
            buckets=LATENCY_S,
            registry=self.registry,
        )
        self.lag = Histogram(
            "spsd_event_loop_lag_seconds",
            "Delay of an event loop behind its schedule, measured once a second.",
            ["loop"],
            buckets=LATENCY_S,
            registry=self.registry,
        )
        self._bytes_done: dict[JobKey, int] = {}
        self._create_series()

    def _create_series(self) -> None:
        for state in JobState:
            self.jobs.labels(state)
        self.transitions.labels(Trigger.SUBMIT, JobState.QUEUED)
        for transition in TRANSITIONS:
            self.transitions.labels(transition["trigger"], transition["dest"])
        for code in FailureCode:
            self.retries.labels(code)
            self.failures.labels(code)
        for state in JobState:
            if state in TERMINAL:
                self.duration.labels(state)
        for loop in (REQUESTS, DOWNLOADS):
            self.lag.labels(loop)

    def begin(self, jobs: Mapping[JobState, int]) -> None:
        """Count the jobs that are in the database at the start."""
        for state, number in jobs.items():
            self._count_jobs(state, number)

    def added(self, job: Job) -> None:
        """A job was added."""
        self._count_jobs(job.state, 1)
        self.transitions.labels(job.cause, job.state).inc()

    def moved(self, before: Job, after: Job) -> None:
        """A job had a transition from ``before`` to ``after``."""
        self._count_jobs(before.state, -1)
        self._count_jobs(after.state, 1)
        self.transitions.labels(after.cause, after.state).inc()
        if after.code is not None:
            counter = self.failures if after.state is JobState.FAILED else self.retries
            counter.labels(after.code).inc()
        if before.started_at is None and after.started_at is not None:
            _observe(self.wait, after.started_at - after.created_at)
        if after.state in TERMINAL:
            started_at = after.started_at or after.changed_at
            _observe(self.duration.labels(after.state), after.changed_at - started_at)

    def removed(self, job: Job) -> None:
        """A job was removed."""
        self._count_jobs(job.state, -1)

    def progressed(self, key: JobKey, progress: Progress) -> None:
        """Count the bytes since the last report; the first report of a run counts none.

        A run begins with the bytes on disk, which were received earlier.
        """
        before = self._bytes_done.get(key, progress.done)
        self._bytes_done[key] = progress.done
        if progress.done > before:
            self.received.inc(progress.done - before)

    def stopped(self, key: JobKey) -> None:
        """The run of the job has ended."""
        self._bytes_done.pop(key, None)

    def observe_request(self, method: str, route: str, status: str, seconds: float) -> None:
        """Count a request. Each combination of the three labels is a series: use closed lists."""
        _observe(self.requests.labels(method, route, status), seconds)

    def observe_lag(self, loop: str, seconds: float) -> None:
        """Count a measured delay of an event loop."""
        _observe(self.lag.labels(loop), seconds)

    def _count_jobs(self, state: JobState, number: int) -> None:
        self.jobs.labels(state).inc(number)
        if state is JobState.QUEUED:
            self.queue_length.inc(number)


def _observe(histogram: Histogram, seconds: float) -> None:
    """A clock that was set back makes a negative duration, which counts as 0."""
    histogram.observe(max(0.0, seconds))


class FunctionCounter(Collector):
    """A counter whose value is read for each scrape; the library has this for gauges only."""

    def __init__(self, name: str, documentation: str, *, registry: CollectorRegistry) -> None:
        self._name = name
        self._documentation = documentation
        self._function: Callable[[], float] = lambda: 0.0
        registry.register(self)

    def set_function(self, function: Callable[[], float]) -> None:
        """Call ``function`` for the value, in the thread of the scrape."""
        self._function = function

    def collect(self) -> Iterable[Metric]:
        """The counter with its present value."""
        yield CounterMetricFamily(self._name, self._documentation, value=self._function())


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSources:
    """Where the values come from that are read for each scrape.

    The callables must only read memory; they are called in another thread than the event loop's.
    """

    slots: Slots
    directories: Mapping[str, Path]
    """The directories whose file systems are measured, by the label ``directory``."""
    database_reads: Callable[[], int]
    connections: Callable[[], int]
    followers: Callable[[], int]


class ScrapedMetrics:
    """The metrics whose values are read for each scrape."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.slots = Gauge("spsd_slots", "Firmware slots.", registry=registry)
        self.slots_empty = Gauge("spsd_slots_empty", "Empty firmware slots.", registry=registry)
        self.slots_broken = Gauge(
            "spsd_slots_broken", "Firmware slots without a readable manifest.", registry=registry
        )
        self.current_slot = Gauge(
            "spsd_current_slot",
            "Number of the running slot; 0 if it is unknown.",
            registry=registry,
        )
        self.disk_free = Gauge(
            "spsd_disk_free_bytes",
            "Free space of the directory's file system; NaN if it cannot be read.",
            ["directory"],
            registry=registry,
        )
        self.disk_size = Gauge(
            "spsd_disk_size_bytes",
            "Size of the directory's file system; NaN if it cannot be read.",
            ["directory"],
            registry=registry,
        )
        self.build_info = Gauge(
            "spsd_build_info",
            "Versions of spsd and of Python; the value is always 1.",
            ["version", "python"],
            registry=registry,
        )
        self.build_info.labels(__version__, platform.python_version()).set(1)
        self.connections = Gauge(
            "spsd_http_connections", "Open connections of clients.", registry=registry
        )
        self.followers = Gauge(
            "spsd_http_followers",
            "Clients that wait for a change or read an event stream.",
            registry=registry,
        )
        self.database_reads = FunctionCounter(
            "spsd_database_reads_total", "Reads of the database.", registry=registry
        )

    def connect(self, sources: MetricSources) -> None:
        """Read everything but the slots from ``sources`` from now on."""
        self.connections.set_function(sources.connections)
        self.followers.set_function(sources.followers)
        self.database_reads.set_function(sources.database_reads)
        for name, path in sources.directories.items():
            self.disk_free.labels(name).set_function(partial(_disk_bytes, path, "free"))
            self.disk_size.labels(name).set_function(partial(_disk_bytes, path, "total"))

    def set_slots(self, slots: Mapping[int, SlotContent], current: int | None) -> None:
        """``slots`` by number; ``current`` is None if the running slot is unknown."""
        self.slots.set(len(slots))
        self.slots_empty.set(sum(content is None for content in slots.values()))
        self.slots_broken.set(sum(isinstance(content, BrokenSlot) for content in slots.values()))
        self.current_slot.set(current or 0)


def _disk_bytes(path: Path, which: Literal["free", "total"]) -> float:
    try:
        usage = shutil.disk_usage(path)
    except OSError:
        return float("nan")
    return usage.free if which == "free" else usage.total


class Exposition:
    """All metrics of a daemon as text, with those of its process (``process_…``)."""

    def __init__(self, metrics: Metrics, sources: MetricSources) -> None:
        """Reads /proc: call it in a thread."""
        self._registry = metrics.registry
        self._slots = sources.slots
        self._scraped = ScrapedMetrics(self._registry)
        self._scraped.connect(sources)
        ProcessCollector(registry=self._registry)

    async def text(self, accept: str) -> tuple[bytes, str]:
        """The text and its content type, in the format that ``accept`` (RFC 9110) prefers.

        It is made in a thread: the file systems may be slow. The locks of the metrics are held
        there only while a single value is read.
        """
        self._scraped.set_slots(await self._slots.list(), self._slots.current)
        encode, content_type = choose_encoder(
            f"{OPEN_METRICS}; version=1.0.0" if prefers_open_metrics(accept) else ""
        )
        return await asyncio.to_thread(encode, self._registry), content_type


def prefers_open_metrics(accept: str) -> bool:
    """Whether ``accept`` names OpenMetrics; the library's own parser fails on odd versions."""
    ranges = ("".join(each.lower().split()).split(";") for each in accept.split(","))
    # RFC 9110 section 12.4.2: the weight 0 means "not acceptable".
    return any(media == OPEN_METRICS and "q=0" not in params for media, *params in ranges)


def reference() -> str:
    """Every metric of spsd itself as a row of a Markdown table."""
    metrics = Metrics()
    metrics.observe_request("", "", "", 0)
    scraped = ScrapedMetrics(metrics.registry)
    for disk in (scraped.disk_free, scraped.disk_size):
        disk.labels("")
    rows = ["| Metric | Type | Labels | Meaning |", "|---|---|---|---|"]
    for metric in metrics.registry.collect():
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        labels = ", ".join(f"`{label}`" for label in metric.samples[0].labels if label != "le")
        rows.append(f"| `{name}` | {metric.type} | {labels} | {metric.documentation} |")
    return "\n".join(rows)
