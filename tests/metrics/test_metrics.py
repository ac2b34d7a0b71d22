"""The objects of the metrics: their series, their buckets, and what each method counts."""

from itertools import pairwise

import pytest
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder

from spsd.failures import FailureCode
from spsd.jobs.lifecycle import TERMINAL, TRANSITIONS, JobState, Trigger
from spsd.metrics import LATENCY_S, LONG_S, FunctionCounter, Metrics, ScrapedMetrics, reference
from spsd.slots.model import BrokenSlot
from tests.samples import samples, value

BUCKETS = "spsd_event_loop_lag_seconds_bucket"


def in_buckets(metrics, name, *labels):
    """How many observations each bucket has, by its upper bound; without the empty buckets."""
    cumulative = {
        float(bound): count
        for (bound, *rest), count in samples(metrics, name).items()
        if tuple(rest) == labels
    }
    before = dict(zip([*cumulative][1:], [*cumulative.values()][:-1], strict=True))
    counts = {bound: count - before.get(bound, 0) for bound, count in cumulative.items()}
    return {bound: count for bound, count in counts.items() if count}


def test_every_label_combination_exists_from_the_start():
    metrics = Metrics()
    transitions = {(row["trigger"], row["dest"]) for row in TRANSITIONS}
    codes = {(code,): 0 for code in FailureCode}
    assert samples(metrics, "spsd_jobs") == {(state,): 0 for state in JobState}
    assert samples(metrics, "spsd_queue_length") == {(): 0}
    assert samples(metrics, "spsd_job_transitions_total") == dict.fromkeys(
        {*transitions, ("submit", "queued")}, 0
    )
    assert {cause for cause, _ in samples(metrics, "spsd_job_transitions_total")} == set(Trigger)
    assert samples(metrics, "spsd_job_retries_total") == codes
    assert samples(metrics, "spsd_job_failures_total") == codes
    assert samples(metrics, "spsd_job_wait_seconds_count") == {(): 0}
    assert samples(metrics, "spsd_job_duration_seconds_count") == {(s,): 0 for s in TERMINAL}
    assert samples(metrics, "spsd_received_bytes_total") == {(): 0}
    loops = {("requests",): 0, ("downloads",): 0}
    assert samples(metrics, "spsd_event_loop_lag_seconds_count") == loops
    assert samples(metrics, "spsd_http_request_duration_seconds_count") == {}


@pytest.mark.parametrize(
    ("name", "bounds"),
    [
        ("spsd_job_wait_seconds", LONG_S),
        ("spsd_job_duration_seconds", LONG_S),
        ("spsd_http_request_duration_seconds", LATENCY_S),
        ("spsd_event_loop_lag_seconds", LATENCY_S),
    ],
)
def test_the_bounds_of_the_buckets(name, bounds):
    metrics = Metrics()
    metrics.observe_request("GET", "/api", "2xx", 0)
    bucket_bounds = {float(bound) for bound, *_ in samples(metrics, f"{name}_bucket")}
    assert bucket_bounds == {*bounds, float("inf")}


def test_a_bound_belongs_to_the_values_below_it():
    metrics = Metrics()
    for seconds in (0.0005, 0.001, 0.0011, 10, 10.1):
        metrics.observe_lag("requests", seconds)
    assert in_buckets(metrics, BUCKETS, "requests") == {
        0.001: 2,
        0.0025: 1,
        10: 1,
        float("inf"): 1,
    }
    counts = samples(metrics, BUCKETS).values()
    assert all(a <= b for a, b in pairwise(list(counts)[: len(LATENCY_S)])), "cumulative"
    assert value(metrics, "spsd_event_loop_lag_seconds_sum", "requests") == pytest.approx(20.1026)
    assert value(metrics, "spsd_event_loop_lag_seconds_count", "requests") == 5
    assert value(metrics, "spsd_event_loop_lag_seconds_count", "downloads") == 0


def test_a_negative_duration_counts_as_zero():
    metrics = Metrics()
    metrics.observe_lag("downloads", -3)
    metrics.observe_request("GET", "/api", "2xx", -1)
    assert in_buckets(metrics, BUCKETS, "downloads") == {0.001: 1}
    assert value(metrics, "spsd_event_loop_lag_seconds_sum", "downloads") == 0
    labels = ("GET", "/api", "2xx")
    assert value(metrics, "spsd_http_request_duration_seconds_sum", *labels) == 0
    assert value(metrics, "spsd_http_request_duration_seconds_count", *labels) == 1


def test_jobs_in_the_database_at_the_start_are_not_transitions():
    metrics = Metrics()
    metrics.begin({JobState.QUEUED: 3, JobState.FAILED: 1})
    assert value(metrics, "spsd_jobs", "queued") == value(metrics, "spsd_queue_length") == 3
    assert value(metrics, "spsd_jobs", "failed") == 1
    assert sum(samples(metrics, "spsd_job_transitions_total").values()) == 0


def test_two_daemons_in_a_process_count_separately():
    first, second = Metrics(), Metrics()
    first.observe_lag("requests", 1)
    assert value(first, "spsd_event_loop_lag_seconds_count", "requests") == 1
    assert value(second, "spsd_event_loop_lag_seconds_count", "requests") == 0
    assert not [family.name for family in REGISTRY.collect() if family.name.startswith("spsd")]


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text; version=1.0.0"])
def test_there_are_no_created_series(accept):
    metrics = Metrics()
    metrics.observe_request("GET", "/api", "2xx", 1)
    encode, _ = choose_encoder(accept)
    text = encode(metrics.registry).decode()
    assert "spsd_http_request_duration_seconds_count" in text
    assert "spsd_job_retries_total" in text
    assert "_created" not in text


def test_the_values_that_are_read_for_a_scrape():
    metrics = Metrics()
    scraped = ScrapedMetrics(metrics.registry)
    broken = BrokenSlot("no manifest")
    scraped.set_slots({1: None, 2: broken, 3: None}, 3)
    names = ("spsd_slots", "spsd_slots_empty", "spsd_slots_broken", "spsd_current_slot")
    assert [value(metrics, name) for name in names] == [3, 2, 1, 3]
    scraped.set_slots({1: None}, None)
    assert [value(metrics, name) for name in names] == [1, 1, 0, 0]


def test_a_counter_of_a_function():
    metrics = Metrics()
    counter = FunctionCounter("spsd_things_total", "Things.", registry=metrics.registry)
    assert value(metrics, "spsd_things_total") == 0
    counter.set_function(lambda: 7)
    assert value(metrics, "spsd_things_total") == 7
    [family] = counter.collect()
    assert family.type == "counter"


def test_the_reference_has_a_row_for_each_metric():
    rows = [line.split(" | ") for line in reference().splitlines()[2:]]
    names = [row[0].strip("| `") for row in rows]
    assert len(names) == len(set(names)) == 20
    assert rows[0][:3] == ["| `spsd_jobs`", "gauge", "`state`"]
    table = dict(zip(names, rows, strict=True))
    assert table["spsd_job_retries_total"][1:3] == ["counter", "`code`"]
    assert table["spsd_database_reads_total"][1] == "counter"
    assert table["spsd_disk_free_bytes"][2] == "`directory`"
    assert table["spsd_job_wait_seconds"][2] == ""
    assert table["spsd_http_request_duration_seconds"][2] == "`method`, `route`, `status`"
