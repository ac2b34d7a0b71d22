"""The functions of spsctl without I/O: checksum files, keys, rates, events, fingerprints."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsd.client import display
from spsd.client.api import Event
from spsd.client.display import RATE_WINDOW_S, RateEstimator
from spsd.client.download_commands import digest_for, match_key
from spsd.client.errors import MEANING, ApiError, CommandError, Exit, exit_for_http
from spsd.client.hosts import normalize_url
from spsd.client.trust import format_fingerprint, parse_fingerprint
from spsd.client.watch import apply_event

A, B = "a" * 64, "b" * 64
URL = "https://x.example/dir/image%20one.iso?token=1"


@pytest.mark.parametrize(
    "sums",
    [
        f"{A}  image one.iso\n{B}  other.iso\n",
        f"{A} *./dir/image one.iso\r\n",
        f"{A.upper()}  image one.iso",
        f"SHA256 (image one.iso) = {A}\n",
        f"{A}  other.iso\n",  # the only line
        f"  {A}\n",
        f"# a comment\n\n{A}  image one.iso\n{A}  image one.iso\n",
    ],
)
def test_a_digest_from_a_checksum_file(sums: str) -> None:
    assert digest_for(URL, sums) == A


def test_a_file_name_with_escapes() -> None:
    assert digest_for("http://x/a%5Cb%0Ac", f"\\{A}  a\\\\b\\nc\n{B}  other\n") == A


@pytest.mark.parametrize(
    ("sums", "message"),
    [
        ("", "0 lines"),
        (f"{A}  a.iso\n{B}  b.iso\n", "none of them"),
        (f"{A}  image one.iso\n{B}  image one.iso\n", "several digests"),
        (f"{A[:-1]}  image one.iso\n", "0 lines"),
    ],
)
def test_no_digest_for_the_file(sums: str, message: str) -> None:
    with pytest.raises(CommandError, match=message) as raised:
        digest_for(URL, sums)
    assert raised.value.exit is Exit.USAGE


KEYS = ["aabb", "aacc", "bb"]


@pytest.mark.parametrize(("prefix", "key"), [("aab", "aabb"), ("AAC", "aacc"), ("bb", "bb")])
def test_a_unique_prefix_selects_its_key(prefix: str, key: str) -> None:
    assert match_key(KEYS, prefix) == key


def test_a_whole_key_is_selected_even_if_another_starts_with_it() -> None:
    assert match_key(["aa", "aab"], "aa") == "aa"


@pytest.mark.parametrize(
    ("prefix", "message"), [("x", "starts with"), ("aa", "2 keys"), ("", "3 keys")]
)
def test_a_prefix_without_a_unique_key(prefix: str, message: str) -> None:
    with pytest.raises(CommandError, match=message) as raised:
        match_key(KEYS, prefix)
    assert raised.value.exit is Exit.NOT_FOUND


def test_the_rate_is_an_average_over_the_last_seconds() -> None:
    rate = RateEstimator()
    rate.add_sample(0, 0.0)
    assert (rate.bytes_per_second, rate.seconds_left(100)) == (None, None)
    for second in range(1, 31):
        count = second * 100 if second <= 15 else 1500 + (second - 15) * 10
        rate.add_sample(count, float(second))
    assert rate.bytes_per_second == 10.0
    assert rate.seconds_left(1750) == 10.0
    for second in range(31, 45):  # no progress
        rate.add_sample(1650, float(second))
    assert rate.bytes_per_second == 0.0
    assert rate.seconds_left(1750) is None
    assert rate.seconds_left(0) is None
    rate.add_sample(0, 46.0)  # restarted
    assert rate.bytes_per_second is None
    assert RATE_WINDOW_S == 10.0


@given(st.lists(st.tuples(st.integers(0, 100), st.floats(0, 10)), max_size=30))
def test_a_rate_is_never_negative(samples: list[tuple[int, float]]) -> None:
    rate, now = RateEstimator(), 0.0
    for byte_count, seconds in samples:
        now += seconds
        rate.add_sample(byte_count, now)
        assert rate.bytes_per_second is None or rate.bytes_per_second >= 0


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.4, "0:59"), (61, "1:01"), (3723, "1:02:03")]
)
def test_the_text_of_a_duration(seconds: float, text: str) -> None:
    assert display.duration_text(seconds) == text


@pytest.mark.parametrize(
    ("status", "exit_"),
    [
        (400, Exit.REFUSED),
        (401, Exit.NOT_LOGGED_IN),
        (403, Exit.NOT_LOGGED_IN),
        (404, Exit.NOT_FOUND),
        (409, Exit.CONFLICT),
        (422, Exit.REFUSED),
        (500, Exit.SERVER),
        (507, Exit.SERVER),
    ],
)
def test_the_exit_status_for_an_http_error(status: int, exit_: Exit) -> None:
    assert exit_for_http(status) is exit_
    assert ApiError(status, "T", "m", {}).exit is exit_


def test_every_exit_status_has_a_meaning() -> None:
    assert set(MEANING) == set(Exit)


def test_events_change_the_downloads() -> None:
    first, second = ({"key": key, "body": {"n": n}} for key, n in (("a", 1), ("b", 2)))
    downloads = apply_event({}, event("snapshot", {"items": [first, second]}))
    assert downloads == {"a": first, "b": second}
    changed = {"key": "a", "body": {"n": 3}}
    downloads = apply_event(downloads, event("download", changed))
    assert list(downloads.items()) == [("a", changed), ("b", second)]
    assert apply_event(downloads, event("removed", {"key": "a"})) == {"b": second}
    assert apply_event(downloads, event("a future kind", {})) == downloads


def event(kind: str, data: object) -> Event:
    return Event(kind, display.json_line(data), "")


def test_fingerprints() -> None:
    digits = "0123456789abcdef" * 4
    text = format_fingerprint(digits)
    assert re.fullmatch("([0-9A-F]{2}:){31}[0-9A-F]{2}", text)
    assert parse_fingerprint(text) == parse_fingerprint(f"SHA256:{digits.upper()}") == digits
    for wrong in ("", "zz", digits[:-2]):
        with pytest.raises(CommandError):
            parse_fingerprint(wrong)


@pytest.mark.parametrize(
    ("url", "normalized"),
    [("x:8443", "https://x:8443"), ("http://x/", "http://x"), ("https://x", "https://x")],
)
def test_the_url_of_a_host(url: str, normalized: str) -> None:
    assert normalize_url(url) == normalized
