"""``/metrics``: access, formats, and the counts of requests."""

import asyncio
import math
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as open_metrics,
)
from prometheus_client.parser import text_string_to_metric_families

from spsd.metrics import prefers_open_metrics
from spsd.web.api.metrics import MONITORING
from spsd.web.routes import OPERATIONS
from tests.events import ACCEPT
from tests.web.conftest import Api

TOKEN = "0123456789abcdef-metrics"
ELSEWHERE = {"X-Forwarded-For": "192.0.2.7"}


async def with_token(api: Api) -> None:
    file = api.root / "token"
    await asyncio.to_thread(file.write_text, TOKEN)
    await asyncio.to_thread(file.chmod, 0o600)
    await api.start(metrics={"token_file": str(file)})


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Each sample by its name and its label values, in the order of the label names."""
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_a_client_on_the_appliance_may_read(api: Api) -> None:
    client = await api.client(None)
    response = await client.get("/metrics")
    assert response.status == 200
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    metrics = samples(await response.text())
    assert metrics["spsd_slots",] == 3
    assert metrics["spsd_slots_empty",] == 3
    assert metrics["spsd_jobs", "queued"] == 0


@pytest.mark.parametrize(
    "header", ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP", "x-forwarded-for"]
)
async def test_a_client_behind_a_proxy_is_not_on_the_appliance(api: Api, header: str) -> None:
    await with_token(api)
    client = await api.client(None)
    response = await client.get("/metrics", headers={header: "x"})
    assert response.status == 401
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="spsd"'
    assert (await response.json())["error"]["type"] == "Unauthenticated"
    assert TOKEN not in await response.text()


async def test_a_session_gives_access(api: Api) -> None:
    client = await api.client("viewer")
    assert (await client.get("/metrics", headers=ELSEWHERE)).status == 200


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer  {TOKEN} ", 200),
        (f"Bearer {TOKEN}x", 401),
        (f"Bearer {TOKEN[:-1]}", 401),
        ("Bearer ", 401),
        ("Bearer", 401),
        (f"Basic {TOKEN}", 401),
        (TOKEN, 401),
        ("Bearer \u00fc", 401),
    ],
)
async def test_the_token_gives_access(api: Api, authorization: str, status: int) -> None:
    await with_token(api)
    client = await api.client(None)
    headers = {**ELSEWHERE, "Authorization": authorization}
    assert (await client.get("/metrics", headers=headers)).status == status


async def test_without_a_configured_token_none_gives_access(api: Api) -> None:
    client = await api.client(None)
    for authorization in ("Bearer ", "Bearer None", "Bearer"):
        headers = {**ELSEWHERE, "Authorization": authorization}
        assert (await client.get("/metrics", headers=headers)).status == 401


async def test_open_metrics_on_request(api: Api) -> None:
    client = await api.client(None)
    accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2"
    response = await client.get("/metrics", headers={"Accept": accept})
    assert response.content_type == "application/openmetrics-text"
    text = await response.text()
    assert text.endswith("# EOF\n")
    names = {family.name for family in open_metrics(text)}
    assert {"spsd_jobs", "spsd_job_retries", "process_open_fds"} <= names


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text", True),
        ("text/plain, Application/OpenMetrics-Text; version=x", True),
        ("application/openmetrics-text; q=0", False),
        ("application/openmetrics-text-not", False),
        (";,;", False),
    ],
)
def test_the_format_by_accept(accept: str, expected: bool) -> None:
    assert prefers_open_metrics(accept) is expected


async def test_malformed_accepts_are_ignored(api: Api) -> None:
    client = await api.client(None)
    for accept in ("text/plain; version=x", "application/openmetrics-text; version=9.9.9.9; a"):
        assert (await client.get("/metrics", headers={"Accept": accept})).status == 200


async def test_requests_are_counted_by_route_and_not_by_path(api: Api) -> None:
    client = await api.client()
    for number in range(30):
        await client.get(f"/api/firmware/fetch/{number}")
        await client.get(f"/nowhere/{number}")
        await client.request(("PROPFIND", "REPORT", "MKCOL")[number % 3], "/api/info")
    await client.get("/api/firmware/fetch?wait=0")
    metrics = samples(await (await client.get("/metrics")).text())
    counts = {key[1:]: value for key, value in metrics.items() if key[0].endswith("seconds_count")}
    assert counts["GET", "/api/firmware/fetch/{key}", "4xx"] == 30
    assert counts["GET", "none", "4xx"] == 30
    assert counts["other", "none", "4xx"] == 30
    assert ("GET", "/api/firmware/fetch", "2xx") not in counts, (
        "a request that waits is not counted"
    )
    routes = {route for _, route, *_ in (key for key in counts if len(key) == 3)}
    assert routes <= {operation.path for operation in OPERATIONS} | {"none"}
    assert "nowhere" not in str(metrics)


async def test_a_refused_request_is_measured(api: Api) -> None:
    client = await api.client(None)
    await client.get("/api/firmware/slots")
    metrics = samples(await (await client.get("/metrics")).text())
    name = "spsd_http_request_duration_seconds"
    assert metrics[f"{name}_count", "GET", "/api/firmware/slots", "4xx"] == 1
    assert 0 < metrics[f"{name}_sum", "GET", "/api/firmware/slots", "4xx"] < 20


async def test_an_unreadable_directory_affects_no_other_metric(api: Api) -> None:
    client = await api.client(None)
    await asyncio.to_thread((api.root / "staging").rmdir)
    metrics = samples(await (await client.get("/metrics")).text())
    assert math.isnan(metrics["spsd_disk_free_bytes", "staging"])
    assert 0 < metrics["spsd_disk_free_bytes", "slots"] <= metrics["spsd_disk_size_bytes", "slots"]


async def test_the_metrics_of_slots(api: Api, tmp_path: Path) -> None:
    broken = tmp_path / "slots" / "2"
    await asyncio.to_thread(broken.mkdir)
    await asyncio.to_thread((broken / "image").touch)
    await api.start(current=3)
    client = await api.client(None)
    metrics = samples(await (await client.get("/metrics")).text())
    assert [metrics[name,] for name in ("spsd_slots", "spsd_slots_empty", "spsd_slots_broken")] == [
        *(3, 2, 1)
    ]
    assert metrics["spsd_current_slot",] == 3


async def test_event_streams_are_counted(api: Api) -> None:
    client = await api.client()
    events = client.session.get(client.make_url("/api/firmware/fetch"), headers=ACCEPT)
    async with events as stream:
        await stream.content.readany()
        metrics = samples(await (await client.get("/metrics")).text())
    assert metrics["spsd_http_followers",] == 1


async def test_a_scrape_reads_no_database(api: Api) -> None:
    client = await api.client(None)
    before = api.database.reads
    for _ in range(5):
        assert (await client.get("/metrics")).status == 200
    assert api.database.reads == before


async def test_the_number_of_series_has_a_bound(api: Api) -> None:
    client = await api.client()
    metrics = client.app[MONITORING].metrics

    def series() -> int:
        [family] = metrics.requests.collect()
        return sum(sample.name.endswith("_count") for sample in family.samples)

    for _ in range(2):
        for operation in OPERATIONS:
            for method in ("GET", "POST", "DELETE", "PUT", "HEAD", "LOCK"):
                await client.request(method, operation.path.replace("{key}", "k"))
    assert series() <= 6 * (len(OPERATIONS) + 1) * 3
    before = series()
    for number in range(50):
        await client.get(f"/api/{number}", headers={"Accept": str(number)})
    assert series() <= before + 1
