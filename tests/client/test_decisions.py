"""What spsctl decides without asking anybody."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsd.client import showing
from spsd.client.api import Event
from spsd.client.context import canonical
from spsd.client.download_commands import digest_for
from spsd.client.errors import MEANING, ApiError, CommandError, Exit, exit_of
from spsd.client.hosts import parsed, spelled
from spsd.client.showing import WINDOW_S, Pace, chosen
from spsd.client.watch import after

A, B = "a" * 64, "b" * 64
URL = "https://x.example/dir/image%20one.iso?token=1"


@pytest.mark.parametrize(
    "sums",
    [
        f"{A}  image one.iso\n{B}  other.iso\n",
        f"{A} *./dir/image one.iso\r\n",
        f"{A.upper()}  image one.iso",
        f"SHA256 (image one.iso) = {A}\n",
        f"{A}  whatever.iso\n",  # the only one
        f"  {A}\n",
        f"# a comment\n\n{A}  image one.iso\n{A}  image one.iso\n",
    ],
)
def test_the_digest_of_a_file_of_checksums(sums: str) -> None:
    assert digest_for(URL, sums) == A


def test_a_name_with_escapes() -> None:
    assert digest_for("http://x/a%5Cb%0Ac", f"\\{A}  a\\\\b\\nc\n{B}  other\n") == A


@pytest.mark.parametrize(
    ("sums", "why"),
    [
        ("", "0 lines"),
        (f"{A}  a.iso\n{B}  b.iso\n", "none of it"),
        (f"{A}  image one.iso\n{B}  image one.iso\n", "several digests"),
        (f"{A[:-1]}  image one.iso\n", "0 lines"),
    ],
)
def test_no_digest(sums: str, why: str) -> None:
    with pytest.raises(CommandError, match=why) as told:
        digest_for(URL, sums)
    assert told.value.exit is Exit.USAGE


KEYS = ["aabb", "aacc", "bb"]


@pytest.mark.parametrize(("prefix", "key"), [("aab", "aabb"), ("AAC", "aacc"), ("bb", "bb")])
def test_a_prefix_is_enough(prefix: str, key: str) -> None:
    assert chosen(KEYS, prefix) == key


def test_a_whole_key_is_meant_even_if_it_begins_another() -> None:
    assert chosen(["aa", "aab"], "aa") == "aa"


@pytest.mark.parametrize(("prefix", "why"), [("x", "begins"), ("aa", "2 keys"), ("", "3 keys")])
def test_a_prefix_that_is_not_enough(prefix: str, why: str) -> None:
    with pytest.raises(CommandError, match=why) as told:
        chosen(KEYS, prefix)
    assert told.value.exit is Exit.NOT_FOUND


def test_the_rate_is_that_of_the_last_seconds() -> None:
    pace = Pace()
    pace.saw(0, 0.0)
    assert (pace.rate, pace.left_s(100)) == (None, None)
    for second in range(1, 31):
        pace.saw(second * 100 if second <= 15 else 1500 + (second - 15) * 10, float(second))
    assert pace.rate == 10.0
    assert pace.left_s(1750) == 10.0
    for second in range(31, 45):  # it stands still
        pace.saw(1650, float(second))
    assert pace.rate == 0.0
    assert pace.left_s(1750) is None
    assert pace.left_s(0) is None
    pace.saw(0, 46.0)  # begun anew
    assert pace.rate is None
    assert WINDOW_S == 10.0


@given(st.lists(st.tuples(st.integers(0, 100), st.floats(0, 10)), max_size=30))
def test_a_rate_is_never_less_than_nothing(seen: list[tuple[int, float]]) -> None:
    pace, now = Pace(), 0.0
    for done, later in seen:
        now += later
        pace.saw(done, now)
        assert pace.rate is None or pace.rate >= 0


@pytest.mark.parametrize(
    ("seconds", "told"), [(0, "0:00"), (59.4, "0:59"), (61, "1:01"), (3723, "1:02:03")]
)
def test_time_that_is_left(seconds: float, told: str) -> None:
    assert showing.time_left(seconds) == told


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
def test_how_a_refusal_ends_a_command(status: int, exit_: Exit) -> None:
    assert exit_of(status) is exit_
    assert ApiError(status, "T", "m", {}).exit is exit_


def test_every_exit_has_its_meaning() -> None:
    assert set(MEANING) == set(Exit)


def test_what_events_tell() -> None:
    one, two = ({"key": key, "body": {"n": n}} for key, n in (("a", 1), ("b", 2)))
    known = after({}, event("snapshot", {"items": [one, two]}))
    assert known == {"a": one, "b": two}
    changed = {"key": "a", "body": {"n": 3}}
    known = after(known, event("download", changed))
    assert list(known.items()) == [("a", changed), ("b", two)]
    assert after(known, event("removed", {"key": "a"})) == {"b": two}
    assert after(known, event("of another day", {})) == known


def event(kind: str, data: object) -> Event:
    return Event(kind, showing.as_json(data), "")


def test_fingerprints() -> None:
    print_ = "0123456789abcdef" * 4
    assert parsed(spelled(print_)) == parsed(f"SHA256:{print_.upper()}") == print_
    assert re.fullmatch("([0-9A-F]{2}:){31}[0-9A-F]{2}", spelled(print_))
    for wrong in ("", "zz", print_[:-2]):
        with pytest.raises(CommandError):
            parsed(wrong)


@pytest.mark.parametrize(
    ("given_", "kept"),
    [("x:8443", "https://x:8443"), ("http://x/", "http://x"), ("https://x", "https://x")],
)
def test_the_url_of_a_host(given_: str, kept: str) -> None:
    assert canonical(given_) == kept
