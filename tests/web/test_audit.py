"""The lines of the audit trail: each event, who, from where, with which result."""

import json
import logging
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spsd.accounts.model import FREE_FAILURES
from spsd.system.logs import FIELDS
from spsd.web.middleware.audit import TEXT_LIMIT, Event
from tests.web.conftest import PASSWORD, Api, basic
from tests.web.test_answers import BODY, FETCH, KEY, LOG_IN, QUEUED

DOCS = Path(__file__).parents[2] / "docs"
LINE = re.compile(r'(?P<event>[a-z-]+) address=(?P<address>\S+) user=(?P<user>"[ -~]*?")( .*)?')
ADMIN = 'address=127.0.0.1 user="admin"'


@pytest.fixture
def audit(caplog) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "spsd.audit")
    return caplog


def lines(audit: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Level and text of each line of the audit trail."""
    return [(level, text) for name, level, text in _named(audit) if name == "spsd.audit"]


def _named(audit: pytest.LogCaptureFixture) -> list[tuple[str, str, str]]:
    return [(record.name, record.levelname, record.getMessage()) for record in audit.records]


async def test_log_ins(api: Api, audit) -> None:
    client = await api.client(None)
    await client.get(LOG_IN)
    await client.get(LOG_IN, headers={"Authorization": "Bearer x"})
    assert lines(audit) == [], "without a password it is no attempt"
    await client.get(LOG_IN, headers={"Authorization": "basic !!!"})
    for _ in range(FREE_FAILURES):
        await client.get(LOG_IN, headers=basic("admin", "wrong"))
    await client.get(LOG_IN, headers=basic("admin", PASSWORD))
    await client.get(LOG_IN, headers=basic("viewer", PASSWORD))
    await client.delete(LOG_IN)
    await client.delete(LOG_IN)
    assert lines(audit) == [
        ("WARNING", 'log-in-failed address=127.0.0.1 user=""'),
        *[("WARNING", f"log-in-failed {ADMIN}")] * FREE_FAILURES,
        ("WARNING", f"log-in-throttled {ADMIN}"),
        ("INFO", 'log-in address=127.0.0.1 user="viewer"'),
        ("INFO", 'log-out address=127.0.0.1 user="viewer"'),
    ]


async def test_changes(api: Api, audit) -> None:
    client = await api.client()
    await client.post(FETCH, data=BODY)
    [job] = await api.jobs.list()
    await client.delete(f"{FETCH}/{job.key}")
    await client.delete(f"{FETCH}/{job.key}")
    await client.delete(f"{FETCH}/{job.key}")
    installing = QUEUED.start(1, now=1).verified(9, "", now=1)
    await api.jobs.add(installing)
    await client.delete(f"{FETCH}/{KEY}")
    await api.start(slots={"accept": "any"})
    no_boundary = {"Content-Type": "multipart/form-data"}
    client = await api.client()
    await client.post("/api/upload/firmware", data=b"an image")
    await client.post("/api/upload/firmware", data=b"x", headers=no_boundary)
    for path in ("test", "upgrade"):
        await client.post(f"/api/firmware/{path}", json={"slot_id": 1})
        await client.post(f"/api/firmware/{path}", json={"slot_id": "3"})
    await client.delete("/api/firmware/slots/1")
    await client.delete("/api/firmware/slots/99")
    key = f'{ADMIN} job="{job.key}"'
    assert [line for line in lines(audit) if not line[1].startswith("log-in ")] == [
        ("INFO", f'submit {key} result="ok"'),
        ("INFO", f'cancel {key} result="ok"'),
        ("INFO", f'remove {key} result="ok"'),
        ("WARNING", f'cancel {key} result="ResourceNotFound"'),
        ("WARNING", f'cancel {ADMIN} job="{KEY}" result="FetchNotCancellable"'),
        ("INFO", f'upload {ADMIN} slot=1 result="ok"'),
        ("WARNING", f'upload {ADMIN} result="InvalidRequestBodyError"'),
        ("INFO", f'test {ADMIN} slot=1 result="ok"'),
        ("WARNING", f'test {ADMIN} slot=3 result="ResourceNotFound"'),
        ("INFO", f'upgrade {ADMIN} slot=1 result="ok"'),
        ("WARNING", f'upgrade {ADMIN} slot=3 result="ResourceNotFound"'),
        ("WARNING", f'empty-slot {ADMIN} slot=1 result="SlotInUse"'),
        ("WARNING", f'empty-slot {ADMIN} slot=99 result="ResourceNotFound"'),
    ]


async def test_the_address_is_that_behind_a_trusted_proxy(api: Api, audit) -> None:
    await api.start(server={"trusted_proxies": ("127.0.0.1",)})
    client = await api.client(None)
    fields = {"X-Forwarded-For": "203.0.113.9, [2001:db8::7]:99"}
    await client.get(LOG_IN, headers=basic("admin", PASSWORD) | fields)
    assert lines(audit) == [("INFO", 'log-in address=2001:db8::7 user="admin"')]


async def test_the_fields_of_json(api: Api, audit) -> None:
    client = await api.client()
    await client.post(FETCH, data=BODY)
    [job] = await api.jobs.list()
    record = [record for record in audit.records if record.name == "spsd.audit"][-1]
    assert {name: getattr(record, name) for name in FIELDS if hasattr(record, name)} == {
        "event": "submit",
        "address": "127.0.0.1",
        "user": "admin",
        "job": job.key,
        "result": "ok",
    }


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(name=st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
async def test_no_name_imitates_another_line(api: Api, audit, name: str) -> None:
    client = api.clients[0] if api.clients else await api.client(None)
    api.clients.append(client)
    audit.clear()
    name = name.replace(":", "")
    assert (await client.get(LOG_IN, headers=basic(name, "x"))).status in (401, 429)
    [(_, text)] = lines(audit)
    parts = LINE.fullmatch(text)
    assert parts is not None, text
    assert parts["event"] in ("log-in-failed", "log-in-throttled")
    assert parts["address"] == "127.0.0.1"
    assert json.loads(parts["user"]) == name[:TEXT_LIMIT]
    assert len(text) < 70 + 12 * TEXT_LIMIT


async def test_a_key_is_quoted_and_bounded(api: Api, audit) -> None:
    client = await api.client()
    await client.delete(f"{FETCH}/x%22%0Aspsd.audit" + "y" * 4000)
    _, text = lines(audit)[-1]
    assert len(text) < 200
    assert r'job="x\"\nspsd.audityy' in text


def test_the_events_are_documented() -> None:
    page = (DOCS / "logs.md").read_text(encoding="utf-8")
    section = page.partition("## Audit trail")[2].partition("\n## ")[0]
    documented = re.findall(r"^\| `([a-z-]+)` \|", section, re.MULTILINE)
    assert documented == [event.value for event in Event]
