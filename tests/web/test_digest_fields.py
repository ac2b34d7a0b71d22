"""The digest that an upload's header fields ask for."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsd.errors import InvalidRequestBodyError
from spsd.web.api.multipart import expected_digest, parse_repr_digest

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
        (f"{SHA512}, {SHA256}", HEX),
        (f"{SHA512} \t,\t{SHA256},md5=:AAAA:", HEX),
        (f'{SHA256};a;b=1; c="x, \\" y";d=?1', HEX),
        (f"sha-256=:AAAA:, {SHA256}", HEX),
        (SHA512, None),
        ("", None),
    ],
)
def test_what_is_read(field: str, digest: str | None) -> None:
    assert parse_repr_digest(field) == digest


@pytest.mark.parametrize(
    "field",
    [
        f"{SHA256},",
        f",{SHA256}",
        f"{SHA256} {SHA512}",
        f"{SHA256};",
        f"sha-256={B64}",
        f"sha-256:{B64}:",
        f"SHA-256=:{B64}:",
        "sha-256",
        "sha-256=:AAAA:",
        "sha-256=::",
        f"sha-256=:{B64[:-1]}:",
        f"sha-256=:{HEX}:",
        "sha-256=1",
        '"sha-256"',
        "\u0661=:AAAA:",
        HEX,
    ],
)
def test_what_is_refused(field: str) -> None:
    with pytest.raises(InvalidRequestBodyError, match="`Repr-Digest`") as caught:
        parse_repr_digest(field)
    assert caught.value.details == {"field": "Repr-Digest"}


@given(
    st.text(st.characters(codec="latin-1"), max_size=80) | st.text(':=, ;"\\sha-256AB', max_size=80)
)
def test_nothing_else_is_raised(field: str) -> None:
    try:
        digest = parse_repr_digest(field)
    except InvalidRequestBodyError:
        return
    assert digest is None or len(digest) == 64


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
