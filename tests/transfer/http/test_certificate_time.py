"""The evidence for certificates outside their validity period."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from spsd.transfer.http.tls import Validity, time_evidence

HUGE = "Fri, 02 Jan 2026 12:00:00 +99999999999999999999"
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def test_dates_and_offset():
    validity = Validity(NOON - timedelta(days=1), NOON)
    evidence = time_evidence(validity, ours=NOON, date="Fri, 02 Jan 2026 13:00:00 GMT")
    assert evidence == {
        "certificate valid from": "2026-01-01T12:00:00Z",
        "until": "2026-01-02T12:00:00Z",
        "our clock": "2026-01-02T12:00:00Z",
        "ahead of the origin's by seconds": -3600,
    }


def test_times_are_utc_in_every_time_zone(monkeypatch):
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "XYZ-9")
        time.tzset()
        try:
            evidence = time_evidence(None, ours=NOON, date="Fri, 02 Jan 2026 12:00:01 -0000")
        finally:
            elsewhere.undo()
            time.tzset()
    assert evidence == {
        "our clock": "2026-01-02T12:00:00Z",
        "ahead of the origin's by seconds": -1,
    }


@pytest.mark.parametrize(
    ("date", "offset"),
    [
        ("Fri, 02 Jan 2026 11:59:30 GMT", 30),
        ("Fri, 02 Jan 2026 13:00:00 +0100", 0),
        ("Fri, 02 Jan 2026 12:00:00", 0),
        ("Fri, 02 Jan 2026 12:00:00 -0000", 0),
    ],
)
def test_the_offset_from_the_date_of_the_origin(date, offset):
    evidence = time_evidence(None, ours=NOON, date=date)
    assert evidence == {
        "our clock": "2026-01-02T12:00:00Z",
        "ahead of the origin's by seconds": offset,
    }


@pytest.mark.parametrize(
    "date", [None, "", "noon", "Fri, 99 Jan 2026 12:00:00 GMT", "\u00b2", HUGE]
)
def test_an_unreadable_date_is_left_out(date):
    assert time_evidence(None, ours=NOON, date=date) == {"our clock": "2026-01-02T12:00:00Z"}
