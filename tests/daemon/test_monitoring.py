"""Metrics of a running daemon; the alert rules, dashboard and documents name existing ones."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as open_metrics,
)
from prometheus_client.parser import text_string_to_metric_families

from spsd.testing.client import Client
from spsd.testing.daemon import DaemonProcess
from spsd.testing.origin import CutAfter, Origin, ThreadedOrigin, Whole
from testbed.waiting import wait_for

DOCS = Path(__file__).parents[2] / "docs"
FETCH = "/api/firmware/fetch"
CONTENT = b"an image" * 50_000
METRIC_NAME = re.compile(r"\b(?:spsd|process)_[a-z_]+")

Samples = dict[tuple[str, ...], float]
"""Values by metric name and label values, which are in the order of the label names."""


def scrape(client: Client) -> Samples:
    answer = client.call("GET", "/metrics")
    assert answer.status == 200
    return {
        (s.name, *(s.labels[label] for label in sorted(s.labels))): s.value
        for family in text_string_to_metric_families(answer.content.decode())
        for s in family.samples
    }


def until(client: Client, holds: Callable[[Samples], bool]) -> Samples:
    return wait_for(lambda: scrape(client), holds)


@pytest.fixture
def origin() -> Iterator[ThreadedOrigin]:
    cut = len(CONTENT) // 2
    with ThreadedOrigin(Origin({"/a": CONTENT}, (CutAfter(cut),), always=Whole())) as origin:
        yield origin


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    settings = {"slots": {"accept": "any", "count": 3}}
    with DaemonProcess(tmp_path, settings) as daemon:
        yield daemon


def submit(client: Client, url: str, digest: str) -> str:
    answer = client.call("POST", FETCH, json_body={"url": url, "checksum": {"sha256": digest}})
    assert answer.status == 202, answer.content
    return answer.document["key"]


def test_metrics_of_a_finished_and_a_failed_download(
    daemon: DaemonProcess, origin: ThreadedOrigin
) -> None:
    client = daemon.client()
    before = scrape(client)
    submit(client, origin.url("/a"), hashlib.sha256(CONTENT).hexdigest())
    samples = until(client, lambda samples: samples["spsd_jobs", "finished"] == 1)
    assert samples["spsd_job_retries_total", "cut_off"] == 1
    assert samples["spsd_job_failures_total", "cut_off"] == 0
    assert samples["spsd_received_bytes_total",] == len(CONTENT)
    assert samples["spsd_job_transitions_total", "install", "finished"] == 1
    assert samples["spsd_job_wait_seconds_count",] == 1
    assert samples["spsd_job_duration_seconds_count", "finished"] == 1
    assert samples["spsd_slots",] == 3
    assert samples["spsd_slots_empty",] == 2
    assert samples["spsd_queue_length",] == 0
    assert samples["spsd_database_reads_total",] > before["spsd_database_reads_total",]
    posts = ("spsd_http_request_duration_seconds_count", "POST", FETCH, "2xx")
    assert samples[posts] == 1
    digest = "b" * 64
    submit(client, origin.url("/gone"), digest)
    samples = until(client, lambda samples: samples["spsd_jobs", "failed"] == 1)
    assert samples["spsd_job_failures_total", "origin_status"] == 1
    assert samples["spsd_job_duration_seconds_count", "failed"] == 1

    daemon.restart()
    client = daemon.client()
    samples = scrape(client)
    assert (samples["spsd_jobs", "finished"], samples["spsd_jobs", "failed"]) == (1, 1)
    assert samples["spsd_job_failures_total", "origin_status"] == 0


def test_the_lag_of_both_loops_is_measured(daemon: DaemonProcess) -> None:
    samples = until(
        daemon.client(user=None),
        lambda samples: all(
            samples["spsd_event_loop_lag_seconds_count", loop] >= 2
            for loop in ("requests", "downloads")
        ),
    )
    assert samples["spsd_event_loop_lag_seconds_sum", "requests"] >= 0


def test_while_nothing_changes_scrapes_read_no_database(daemon: DaemonProcess) -> None:
    client = daemon.client(user=None)
    before = scrape(client)["spsd_database_reads_total",]
    assert before > 0
    for _ in range(10):
        scrape(client)
    assert scrape(client)["spsd_database_reads_total",] == before


def test_the_token_opens_the_metrics(tmp_path: Path) -> None:
    token = "0123456789-abcdef"
    file = tmp_path / "token"
    file.write_text(token + "\n")
    file.chmod(0o600)
    with DaemonProcess(tmp_path, {"metrics": {"token_file": str(file)}}) as daemon:
        client = daemon.client(user=None)
        elsewhere = {"Forwarded": "for=192.0.2.1"}
        assert client.call("GET", "/metrics", headers=elsewhere).status == 401
        shown = {**elsewhere, "Authorization": f"Bearer {token}"}
        assert client.call("GET", "/metrics", headers=shown).status == 200
        assert client.call("GET", "/api/firmware", headers=shown).status == 401, "only the metrics"


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of all samples of a daemon that has served a request; the same in both formats."""
    with DaemonProcess(tmp_path_factory.mktemp("names")) as daemon:
        client = daemon.client()
        text = client.call("GET", "/metrics").content.decode()
        accept = {"Accept": "application/openmetrics-text"}
        other = client.call("GET", "/metrics", headers=accept).content.decode()
    plain = {s.name for family in text_string_to_metric_families(text) for s in family.samples}
    assert plain == {s.name for family in open_metrics(other) for s in family.samples}
    assert not any(name.endswith("_created") for name in plain)
    return plain


def expressions_of_the_dashboard() -> list[str]:
    dashboard = json.loads((DOCS / "monitoring" / "grafana-dashboard.json").read_text())
    variables = dashboard["templating"]["list"]
    queries = [variable["query"] for variable in variables if variable["type"] == "query"]
    return queries + [t["expr"] for panel in dashboard["panels"] for t in panel["targets"]]


def rules() -> list[dict]:
    groups = yaml.safe_load((DOCS / "monitoring" / "alerts.yml").read_text())
    assert set(groups) == {"groups"}
    return [rule for group in groups["groups"] for rule in group["rules"]]


def test_the_dashboard_names_existing_metrics(names: set[str]) -> None:
    used = {name for e in expressions_of_the_dashboard() for name in METRIC_NAME.findall(e)}
    assert used
    assert used - names == set()


def test_the_rules_name_existing_metrics(names: set[str]) -> None:
    used = {name for rule in rules() for name in METRIC_NAME.findall(rule["expr"])}
    assert used
    assert used - names == set()


def test_the_documented_metrics_are_those_of_the_daemon(names: set[str]) -> None:
    text = (DOCS / "monitoring.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `(spsd_\w+)` \|", text, re.MULTILINE))
    exposed = {re.sub(r"_(bucket|count|sum)$", "", name) for name in names if "spsd_" in name}
    assert documented == exposed


def test_the_dashboard_shows_every_metric() -> None:
    text = (DOCS / "monitoring.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `(spsd_\w+)` \|", text, re.MULTILINE))
    shown = " ".join(expressions_of_the_dashboard())
    assert [name for name in sorted(documented) if name not in shown] == []


def test_the_rules_are_well_formed() -> None:
    alerts = rules()
    assert len({rule["alert"] for rule in alerts}) == len(alerts) > 5
    for rule in alerts:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}, rule
        assert re.fullmatch(r"Spsd[A-Za-z]+", rule["alert"])
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description"}
        assert re.fullmatch(r"\d+[smh]", rule.get("for", "1m"))
        for opening, closing in ("()", "{}", "[]"):
            assert rule["expr"].count(opening) == rule["expr"].count(closing), rule


def test_the_dashboard_is_well_formed() -> None:
    dashboard = json.loads((DOCS / "monitoring" / "grafana-dashboard.json").read_text())
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (place["x"] + dx, place["y"] + dy)
            for dx in range(place["w"])
            for dy in range(place["h"])
        }
        assert max(x for x, _ in cells) < 24, panel["title"]
        assert not cells & taken, f"{panel['title']} overlaps another"
        taken |= cells
        assert panel["targets"], panel["title"]
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs)
