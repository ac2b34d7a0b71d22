"""The wait between attempts, Retry-After, and which bytes refund the budget."""

import math
import time
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsd.failures import FailureCode
from spsd.transfer.rules.retry import (
    RETRY_AFTER_LIMIT_S,
    RetryPolicy,
    backoff_s,
    refunds_budget,
    retry_after_seconds,
)

NOW = 1_700_000_000
POLICY = RetryPolicy(budget=5, initial_s=1.0, limit_s=60.0, stall_floor=1000)


@given(
    st.integers(1, 10**6),
    st.floats(0, 1),
    st.none() | st.floats(0, 1e12),
)
def test_the_wait_is_bounded(failures, spread, retry_after):
    wait = backoff_s(POLICY, failures, spread=spread, retry_after=retry_after)
    whole = min(60.0, 2.0 ** min(failures - 1, 32))
    assert whole / 2 <= wait <= max(whole, RETRY_AFTER_LIMIT_S)
    if retry_after is None:
        assert wait <= whole
    else:
        assert wait >= min(retry_after, RETRY_AFTER_LIMIT_S)


def test_the_wait_doubles_up_to_the_limit():
    waits = [backoff_s(POLICY, n, spread=1.0, retry_after=None) for n in range(1, 10)]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_the_wait_without_a_limit_is_a_number():
    unlimited = RetryPolicy(budget=5, initial_s=1.0, limit_s=math.inf, stall_floor=1000)
    waits = [backoff_s(unlimited, n, spread=1.0, retry_after=None) for n in (33, 34, 10**6)]
    assert waits == [2.0**32] * 3


def test_without_retry_after_the_wait_is_not_extended():
    quick = RetryPolicy(budget=5, initial_s=0.125, limit_s=60.0, stall_floor=1000)
    assert backoff_s(quick, 1, spread=0.0, retry_after=None) == 0.0625
    assert backoff_s(quick, 1, spread=0.0, retry_after=1e9) == RETRY_AFTER_LIMIT_S == 3600


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("", None),
        ("0", 0),
        (" 7 ", 7),
        ("3599", 3599),
        ("9999", RETRY_AFTER_LIMIT_S),
        ("9" * 5000, RETRY_AFTER_LIMIT_S),
        ("-1", None),
        ("1.5", None),
        ("٣", None),
        ("soon", None),
        (format_datetime(datetime.fromtimestamp(NOW + 90, UTC), usegmt=True), 90),
        (format_datetime(datetime.fromtimestamp(NOW - 90, UTC), usegmt=True), 0),
        ("Tue, 14 Nov 2023 22:14:50 -0000", 90),
        ("Mon, 01 Jan 2024 00:00:00 +99999999999999999999", None),
        ("Mon, 99 Jan 2024 00:00:00 GMT", None),
    ],
)
def test_retry_after(value, expected):
    assert retry_after_seconds(value, now=NOW) == expected


def test_a_date_without_a_zone_is_no_local_time(monkeypatch):
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "XYZ-9")
        time.tzset()
        try:
            assert retry_after_seconds("Tue, 14 Nov 2023 22:14:50 -0000", now=NOW) == 90
            assert retry_after_seconds("Wed, 15 Nov 2023 07:14:50 +0900", now=NOW) == 90
        finally:
            elsewhere.undo()
            time.tzset()


DATES = st.builds(
    "{}, {} {} {} {}:{}:{} {}".format,
    st.sampled_from(["Mon", "Xyz", ""]),
    st.integers(-1, 10**6),
    st.sampled_from(["Jan", "Feb", "Foo"]),
    st.integers(-1, 10**12),
    st.integers(0, 99),
    st.integers(0, 99),
    st.integers(0, 99),
    st.sampled_from(["GMT", "", "+0000", "-9999", "+" + "9" * 30]) | st.integers().map(str),
)


@given(st.text() | DATES)
def test_any_retry_after_gives_no_negative_wait(value):
    seconds = retry_after_seconds(value, now=NOW)
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize(
    ("code", "new_bytes", "expected"),
    [
        (FailureCode.CUT_OFF, 1, True),
        (FailureCode.CUT_OFF, 0, False),
        (FailureCode.CUT_OFF, -5, False),
        (FailureCode.STALL, 1000, False),
        (FailureCode.STALL, 1001, True),
    ],
)
def test_which_bytes_refund_the_budget(code, new_bytes, expected):
    assert refunds_budget(POLICY, code, new_bytes) is expected


@pytest.mark.parametrize(
    ("code", "new_bytes", "expected"),
    [
        (FailureCode.CUT_OFF, 0, False),
        (FailureCode.CUT_OFF, 100, False),
        (FailureCode.CUT_OFF, 101, True),
        (FailureCode.STALL, 101, False),
        (FailureCode.STALL, 1001, True),
    ],
)
def test_a_drip_refunds_nothing_however_each_attempt_ends(code, new_bytes, expected):
    policy = RetryPolicy(budget=5, initial_s=1.0, limit_s=60.0, stall_floor=1000, cut_floor=100)
    assert refunds_budget(policy, code, new_bytes) is expected
