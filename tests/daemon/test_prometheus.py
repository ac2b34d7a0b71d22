"""A real Prometheus reads a daemon as docs/monitoring.md says, and its rules fire when they should.

Without Debian's package ``prometheus`` all of it is skipped.
"""

import hashlib
import json
import re
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from spsd.testing.daemon import DaemonProcess
from spsd.testing.origin import CutAfter, Origin, ThreadedOrigin, Whole
from testbed import needs
from testbed.waiting import wait_for
from tests.daemon.test_monitoring import (
    CONTENT,
    DOCS,
    expressions_of_the_dashboard,
    rules,
    submit,
    until,
)

ALERTS = DOCS / "monitoring" / "alerts.yml"
TOKEN = "0123456789abcdef-prometheus"
LIMIT_S = 30.0

pytestmark = needs.program("prometheus", "promtool")


def promtool(*arguments: str | Path, given: str | None = None) -> str:
    completed = subprocess.run(
        ["promtool", *arguments], input=given, capture_output=True, text=True, check=False
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr
    return completed.stdout


def test_promtool_accepts_the_rules() -> None:
    output = promtool("check", "rules", ALERTS)
    assert f"SUCCESS: {len(rules())} rules found" in output


@dataclass(frozen=True)
class Case:
    """Series with a sample per minute: ``fires`` cause the alert, ``rests`` do not."""

    fires: Mapping[str, str]
    rests: Mapping[str, str]
    minutes: int = 60


def each(*series: str) -> dict[str, str]:
    """Series of one target, each given as ``name values``."""
    by_name = {}
    for text in series:
        name, _, values = text.partition(" ")
        labels = name.partition("{")[2].rstrip("}")
        more = f",{labels}" if labels else ""
        by_name[f'{name.partition("{")[0]}{{job="spsd",instance="a"{more}}}'] = values
    return by_name


def histogram(name: str, labels: str, below: int, above: int) -> dict[str, str]:
    """A histogram with ``below`` and ``above`` observations of 0.1 seconds per minute."""
    return each(
        f'{name}_bucket{{{labels},le="0.1"}} 0+{below}x60',
        f'{name}_bucket{{{labels},le="10"}} 0+{below + above}x60',
        f'{name}_bucket{{{labels},le="+Inf"}} 0+{below + above}x60',
    )


LATENCY = "spsd_http_request_duration_seconds"
LAG = "spsd_event_loop_lag_seconds"
CASES = {
    "SpsdDown": Case(each("up 0x60"), each("up 0x2 1x58")),
    "SpsdRestarts": Case(
        each("process_start_time_seconds 100x30 200x5 300x5 400x20"),
        each("process_start_time_seconds 100x30 200x30"),
    ),
    "SpsdDownloadsFail": Case(
        each('spsd_job_failures_total{code="dns"} 0x50 1x10'),
        each('spsd_job_failures_total{code="dns"} 7x60'),
    ),
    "SpsdRetriesMount": Case(
        each('spsd_job_retries_total{code="stall"} 0+3x60'),
        each('spsd_job_retries_total{code="stall"} 0+1x60'),
    ),
    "SpsdDownloadStands": Case(
        each('spsd_jobs{state="downloading"} 2x60', "spsd_received_bytes_total 7x60"),
        each('spsd_jobs{state="downloading"} 2x60', "spsd_received_bytes_total 0+9x60"),
    ),
    "SpsdQueueStands": Case(
        each(
            "spsd_queue_length 3x60",
            'spsd_job_transitions_total{cause="start",state="downloading"} 5x60',
        ),
        each(
            "spsd_queue_length 3x60",
            'spsd_job_transitions_total{cause="start",state="downloading"} 0+1x60',
        ),
    ),
    "SpsdDiskNearlyFull": Case(
        each(
            'spsd_disk_free_bytes{directory="slots"} 5x60',
            'spsd_disk_size_bytes{directory="slots"} 100x60',
        ),
        each(
            'spsd_disk_free_bytes{directory="slots"} 50x60',
            'spsd_disk_size_bytes{directory="slots"} 100x60',
        ),
    ),
    "SpsdNoEmptySlot": Case(
        each("spsd_slots_empty 0x60", "spsd_queue_length 1x60"),
        each("spsd_slots_empty 1x60", "spsd_queue_length 1x60"),
    ),
    "SpsdBrokenSlot": Case(each("spsd_slots_broken 1x60"), each("spsd_slots_broken 0x60")),
    "SpsdApiFails": Case(
        each(f'{LATENCY}_count{{method="GET",route="/api",status="5xx"}} 0+1x60'),
        each(f'{LATENCY}_count{{method="GET",route="/api",status="2xx"}} 0+1x60'),
    ),
    "SpsdApiSlow": Case(
        histogram(LATENCY, 'method="GET",route="/api",status="2xx"', 50, 50),
        histogram(LATENCY, 'method="GET",route="/api",status="2xx"', 1000, 1),
    ),
    "SpsdLoopLags": Case(
        histogram(LAG, 'loop="downloads"', 30, 30), histogram(LAG, 'loop="requests"', 60, 0)
    ),
}


def test_every_rule_has_a_case() -> None:
    assert sorted(CASES) == sorted(rule["alert"] for rule in rules())


@pytest.mark.parametrize("alert", CASES)
@pytest.mark.parametrize("fires", [True, False])
def test_an_alert_fires_only_when_it_should(alert: str, fires: bool, tmp_path: Path) -> None:
    case = CASES[alert]
    series = case.fires if fires else case.rests
    count = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}}) or vector(0)'
    samples = [{"labels": "{}", "value": int(fires)}]
    document = {
        "rule_files": [str(ALERTS)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": k, "values": v} for k, v in series.items()],
                "promql_expr_test": [
                    {"expr": count, "eval_time": f"{case.minutes}m", "exp_samples": samples}
                ],
            }
        ],
    }
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump(document))
    promtool("test", "rules", file)


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus server."""

    url: str

    def query_api(self, path: str, **query: str) -> Any:
        """The data of its response, or None if it does not respond yet."""
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as response:
                document = json.load(response)
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.SERVICE_UNAVAILABLE:  # it listens before it is ready
                return None
            pytest.fail(f"{query}: {error.read().decode()}")
        except OSError:
            return None
        assert document["status"] == "success", document
        return document["data"]

    def value(self, expression: str) -> float | None:
        """The current value of an expression that has one."""
        data = self.query_api("query", query=expression)
        return float(data["result"][0]["value"][1]) if data and data["result"] else None


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    token = tmp_path / "token"
    token.write_text(TOKEN + "\n")
    token.chmod(0o600)
    settings = {
        "server": {"plain_http": False},
        "slots": {"accept": "any", "count": 3},
        "metrics": {"token_file": str(token)},
    }
    with DaemonProcess(tmp_path, settings) as daemon:
        yield daemon


@pytest.fixture
def prometheus(daemon: DaemonProcess, tmp_path: Path) -> Iterator[Prometheus]:
    """It runs with the configuration in docs/monitoring.md."""
    text = (DOCS / "monitoring.md").read_text(encoding="utf-8")
    example = re.search(r"^```yaml\n(scrape_configs:.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert example is not None
    configuration = example[1]
    for documented, actual in {
        "/etc/prometheus/spsd.pem": str(daemon.state / "tls" / "certificate.pem"),
        "/etc/prometheus/spsd.token": str(tmp_path / "token"),
        "appliance:8443": urlsplit(daemon.url).netloc,
        "spsd-alerts.yml": str(ALERTS),
    }.items():
        assert configuration.count(documented) == 1
        configuration = configuration.replace(documented, actual)
    file = tmp_path / "prometheus.yml"
    file.write_text(
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\n" + configuration,
        encoding="utf-8",
    )
    promtool("check", "config", file)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (
        (tmp_path / "prometheus.log").open("wb") as log,
        subprocess.Popen(
            [
                *("prometheus", f"--config.file={file}", f"--web.listen-address=127.0.0.1:{port}"),
                *(f"--storage.tsdb.path={tmp_path / 'tsdb'}", "--log.level=warn"),
            ],
            stderr=log,
        ) as process,
    ):
        try:
            yield Prometheus(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
            process.wait(LIMIT_S)


def test_promtool_finds_no_fault_in_the_metrics(daemon: DaemonProcess) -> None:
    text = daemon.client().call("GET", "/metrics").content.decode()
    assert promtool("check", "metrics", given=text) == ""


def test_prometheus_reads_the_metrics_and_the_dashboard_has_data(
    daemon: DaemonProcess, prometheus: Prometheus
) -> None:
    client = daemon.client()
    cut = (CutAfter(len(CONTENT) // 2),)
    with ThreadedOrigin(Origin({"/a": CONTENT}, cut, always=Whole())) as origin:
        wait_for(lambda: prometheus.value("count_over_time(up[1m]) > 2") is not None)
        submit(client, origin.url("/a"), hashlib.sha256(CONTENT).hexdigest())
        submit(client, origin.url("/gone"), "b" * 64)
        until(client, lambda s: s["spsd_jobs", "failed"] == 1 == s["spsd_jobs", "finished"])
    wait_for(
        lambda: prometheus.value('increase(spsd_job_failures_total{code="origin_status"}[1m])')
    )
    wait_for(lambda: prometheus.value('spsd_jobs{state="finished"}') == 1)
    assert prometheus.value('up{job="spsd"}') == 1
    without_data = []
    for expression in expressions_of_the_dashboard():
        if expression.startswith("label_values("):
            continue
        query = re.sub(r"\$(instance|job)\b", ".*", expression).replace("$__rate_interval", "1m")
        if not prometheus.query_api("query", query=query)["result"]:
            without_data.append(expression)
    assert without_data == []
    loaded = prometheus.query_api("rules")
    alerts = [rule for group in loaded["groups"] for rule in group["rules"]]
    assert len(alerts) == len(rules())
    assert {rule["health"] for rule in alerts} == {"ok"}
    wait_for(lambda: prometheus.value('ALERTS{alertname="SpsdDownloadsFail"}') == 1)
