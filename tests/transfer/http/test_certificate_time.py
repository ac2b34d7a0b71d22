"""TODO."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from spsd.transfer.http.tls import Validity, time_evidence

HUGE = "Fri, 02 Jan 2026 12:00:00 +99999999999999999999"
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def test_dates_and_offset():
    validity = Validity(NOON - timedelta(days=1), NOON)
    told = time_evidence(validity, ours=NOON, date="Fri, 02 Jan 2026 13:00:00 GMT")
    assert told == {
        "certificate valid from": "2026-01-01T12:00:00Z",
        "until": "2026-01-02T12:00:00Z",
        "our clock": "2026-01-02T12:00:00Z",
        "ahead of the origin's by seconds": -3600,
    }


def test_what_is_shown_is_utc_wherever_the_appliance_stands(monkeypatch):
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "XYZ-9")
        time.tzset()
        try:
            told = time_evidence(None, ours=NOON, date="Fri, 02 Jan 2026 12:00:01 -0000")
        finally:
            elsewhere.undo()
            time.tzset()
    assert told == {
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
def test_what_the_origin_says(date, offset):
    told = time_evidence(None, ours=NOON, date=date)
    assert told == {
        "our clock": "2026-01-02T12:00:00Z",
        "ahead of the origin's by seconds": offset,
    }


@pytest.mark.parametrize(
    "date", [None, "", "noon", "Fri, 99 Jan 2026 12:00:00 GMT", "\u00b2", HUGE]
)
def test_what_says_nothing(date):
    assert time_evidence(None, ours=NOON, date=date) == {"our clock": "2026-01-02T12:00:00Z"}
