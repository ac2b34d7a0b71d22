"""The header fields that state the digest of an upload."""

import base64
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spsd.errors import InvalidRequestBodyError
from spsd.web.api.digest_fields import REPR_DIGEST_LIMIT, expected_digest, parse_repr_digest

RAW = bytes(range(32))
HEX = RAW.hex()
B64 = base64.b64encode(RAW).decode()
SHA256 = f"sha-256=:{B64}:"
SHA512 = f"sha-512=:{base64.b64encode(bytes(64)).decode()}:"


@pytest.mark.parametrize(
    ("field", "digest"),
    [
        (SHA256, HEX),
        (f" {SHA256} ", HEX),
        (f"\t {SHA256}\t ", HEX),
        (f"{SHA512}, {SHA256}", HEX),
        (f"{SHA512} \t,\t{SHA256},md5=:AAAA:", HEX),
        # RFC 9651 section 4.2.7: missing padding is accepted.
        (f"sha-256=:{B64.rstrip('=')}:", HEX),
        # Parameters are ignored.
        (f'{SHA256};a;b=1; c="x, \\" y";d=?1;e=@1;f=%"%c3%a4"', HEX),
        # RFC 9651 section 4.2.2: the last value of a key counts.
        (f"sha-256=:AAAA:, {SHA256}", HEX),
        (f"sha-256, {SHA256}", HEX),
        (f"sha-512=1, {SHA256}, {SHA512}", HEX),
        (SHA512, None),
        ("", None),
        (" \t", None),
    ],
)
def test_values_that_are_accepted(field: str, digest: str | None) -> None:
    assert parse_repr_digest(field) == digest


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        (f"{SHA256},", f"not a dictionary of RFC 9651 (error at position {len(SHA256) + 1})"),
        (f",{SHA256}", "not a dictionary of RFC 9651 (error at position 0)"),
        (f"{SHA256} {SHA512}", "not a dictionary of"),
        (f"{SHA256};", "not a dictionary of"),
        (f"{SHA256} ;a", "not a dictionary of"),
        (f"sha-256:{B64}:", "not a dictionary of"),
        (f"SHA-256=:{B64}:", "not a dictionary of"),
        (f"sha-256=:{B64[:-3]}:", "not a dictionary of"),
        (f"sha-256=:={B64}:", "not a dictionary of"),
        (f"sha-256=:{B64}", "not a dictionary of"),
        ('"sha-256"', "not a dictionary of"),
        ('sha-256=%"%ff"', "not a dictionary of"),
        ("sha-256=@999999999999999", "not a dictionary of"),
        ("sha-256=?", "not a dictionary of"),
        ("sha-256=(", "not a dictionary of"),
        (f"{SHA256}\n", "not a dictionary of"),
        (f"{SHA256}\0", "not a dictionary of"),
        (HEX, "not a dictionary of"),
        (f"sha-256={B64}", "not a dictionary of"),
        (f"sha-256={HEX}", "not a dictionary of"),
        ("sha-256=AAAA", "its member `sha-256` is not a byte sequence"),
        ("sha-256", "its member `sha-256` is not a byte sequence"),
        ("sha-256=1", "its member `sha-256` is not a byte sequence"),
        (f'sha-256="{B64}"', "its member `sha-256` is not a byte sequence"),
        (f"sha-256=(:{B64}:)", "its member `sha-256` is not a byte sequence"),
        (f"sha-256=(:{B64}: :{B64}:);a", "its member `sha-256` is not a byte sequence"),
        (f"sha-512=?0, {SHA256}", "its member `sha-512` is not a byte sequence"),
        (f"{SHA256}, md5", "its member `md5` is not a byte sequence"),
        (f"{SHA256}, sha-256=1", "its member `sha-256` is not a byte sequence"),
        ("sha-256=:AAAA:", "has 3 bytes instead of 32"),
        (f"sha-256=:{B64[:-2]}:", "has 31 bytes instead of 32"),
        ("sha-256=::", "has 0 bytes instead of 32"),
        (f"sha-256=:{HEX}:", "has 48 bytes instead of 32"),
        ("\u0661=:AAAA:", "not ASCII"),
        (f'{SHA256};a="\xe4"', "not ASCII"),
        (f"{SHA256}\udcff", "not ASCII"),
        (f"{SHA256};a={'1' * REPR_DIGEST_LIMIT}", f"longer than {REPR_DIGEST_LIMIT} characters"),
    ],
)
def test_values_that_are_refused(field: str, reason: str) -> None:
    with pytest.raises(InvalidRequestBodyError) as caught:
        parse_repr_digest(field)
    assert str(caught.value).startswith("`Repr-Digest` is invalid: ")
    assert reason in str(caught.value)
    assert caught.value.details == {"field": "Repr-Digest"}


def is_digest_or_refusal(field: str) -> None:
    try:
        digest = parse_repr_digest(field)
    except InvalidRequestBodyError:
        return
    assert digest is None or len(digest) == 64


BARE_ITEMS = st.one_of(
    st.from_regex(r"-?[0-9]{1,18}(\.[0-9]{0,5})?", fullmatch=True),
    st.from_regex(r"@-?[0-9]{1,16}(\.[0-9])?", fullmatch=True),
    st.from_regex(r'"([ -~]|\\["\\])*"?', fullmatch=True),
    st.from_regex(r'%"([ -$&-~]|%[0-9a-f]{2})*"?', fullmatch=True),
    st.from_regex(r"[A-Za-z*][!#-'*+.:/^_`|~A-Za-z0-9-]*", fullmatch=True),
    st.sampled_from(["?1", "?0", "?", "?2", ""]),
    st.binary(max_size=40).map(lambda raw: f":{base64.b64encode(raw).decode()}:"),
    st.from_regex(r":[A-Za-z0-9+/=]{0,8}:?", fullmatch=True),
    st.just(f":{B64}:"),
)
KEYS = st.sampled_from(["sha-256", "sha-512", "md5", "*", "a.b_c-1"])
PARAMETERS = st.lists(
    st.tuples(st.sampled_from([";", "; ", " ;"]), KEYS, BARE_ITEMS.map("={}".format) | st.just(""))
    .map("".join)
    .filter(bool),
    max_size=2,
).map("".join)
ITEMS = st.tuples(BARE_ITEMS, PARAMETERS).map("".join)
INNER_LISTS = st.tuples(
    st.just("("),
    st.lists(ITEMS, max_size=3).map(" ".join),
    st.sampled_from([")", " )", ""]),
    PARAMETERS,
).map("".join)
MEMBERS = st.tuples(KEYS, ITEMS.map("={}".format) | INNER_LISTS.map("={}".format) | PARAMETERS).map(
    "".join
)
DICTIONARIES = st.tuples(
    st.lists(MEMBERS, max_size=4), st.sampled_from([",", ", ", "\t,\t", ",,", " "])
).map(lambda drawn: drawn[1].join(drawn[0]))


@given(DICTIONARIES)
def test_no_dictionary_raises_another_error(field: str) -> None:
    is_digest_or_refusal(field)


@given(
    st.text(max_size=80)
    | st.text(st.characters(), max_size=80)
    | st.text(st.characters(max_codepoint=0x7F), max_size=80)
    | st.text(':=, ;"%@?()\\sha-256AB\t', max_size=80)
)
@example("\ud800")
@example("sha-256=\udcff")
def test_no_text_raises_another_error(field: str) -> None:
    is_digest_or_refusal(field)


@pytest.mark.parametrize(
    ("start", "repeated", "end"),
    [
        ("a=(", "1 ", ")"),
        ("a=", "(", ""),
        ("a=(", "1;a=@1 ", ""),
        ("a", ",a", ""),
        ("a", ";a=?1", ""),
        ("a;", " ", ""),
        ("a;", ";,", "\n"),
        ("a", "\t", "b"),
        ("a=:", "=", ":"),
        ("a=:", "A", ""),
        ('a=%"', "%41", '%ff"'),
        ('a="', '\\"', ""),
        ("", "a", ""),
    ],
)
def test_the_longest_values_take_little_time(start: str, repeated: str, end: str) -> None:
    count = (REPR_DIGEST_LIMIT - len(start) - len(end)) // len(repeated)
    begin = time.process_time()
    is_digest_or_refusal(start + repeated * count + end)
    # A few milliseconds; the bound allows for a slow machine.
    assert time.process_time() - begin < 0.5


def test_a_value_that_is_too_long_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    def parse(*_: object, **__: object) -> None:
        pytest.fail("parsed")

    monkeypatch.setattr("http_sf.parse", parse)
    with pytest.raises(InvalidRequestBodyError, match="longer than"):
        parse_repr_digest("a" * (REPR_DIGEST_LIMIT + 1))


def test_a_value_of_the_limit_is_parsed() -> None:
    field = f"{SHA256};a="
    assert parse_repr_digest(field + "a" * (REPR_DIGEST_LIMIT - len(field))) == HEX


@given(st.binary(min_size=32, max_size=32))
def test_every_digest_is_read(raw: bytes) -> None:
    field = f"sha-256=:{base64.b64encode(raw).decode()}:"
    assert expected_digest(field, raw.hex().upper()) == raw.hex()


def test_either_field_and_both() -> None:
    assert expected_digest(None, None) is None
    assert expected_digest(None, HEX) == HEX
    assert expected_digest(SHA256, None) == HEX
    assert expected_digest(SHA512, HEX) == HEX
    with pytest.raises(InvalidRequestBodyError, match="different digests"):
        expected_digest(SHA256, "0" * 64)
    with pytest.raises(InvalidRequestBodyError, match="`X-Checksum-Sha256`"):
        expected_digest(SHA256, HEX[1:])
