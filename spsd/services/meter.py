"""What is counted while the daemon runs: memory only, in the loop of the requests.

Nothing is stored, so every count begins at 0 with the daemon; only how many jobs there are is read
once, at the start, and kept up to date by whoever moves them.
"""

import time
from collections import Counter
from collections.abc import Mapping
from typing import Protocol

from spsd.domain.histogram import Histogram
from spsd.domain.throughput import Throughput
from spsd.failures import FailureCode
from spsd.jobs.job import Job, JobKey
from spsd.jobs.lifecycle import TERMINAL, TRANSITIONS, JobState, Trigger
from spsd.system.loop_thread import DOWNLOADS, REQUESTS
from spsd.transfer.ports import Progress

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

    def rested(self, key: JobKey) -> None:
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
