"""Which text is a SHA-256, and the error for all other text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsd.digest import Sha256, parse_sha256
from spsd.errors import InvalidRequestBodyError

DIGEST = Sha256("0123456789abcdef" * 4)


def test_a_digest_is_64_hex_digits_in_either_case():
    assert parse_sha256(DIGEST.upper(), field="sha256") == DIGEST


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a" * 63,
        "a" * 65,
        "g" * 64,
        DIGEST[:-1] + "\n",
        " " + DIGEST[1:],
        "\uff10" * 64,
        "K" * 64,
    ],
)
def test_other_text_is_no_digest(text):
    with pytest.raises(InvalidRequestBodyError) as caught:
        parse_sha256(text, field="sha256")
    assert caught.value.details == {"field": "sha256"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a" * 63, "63 characters"),
        ("a" * 65, "65 characters"),
        ("g" * 64, "a character that is not hexadecimal"),
    ],
)
def test_the_error_states_what_is_wrong_with_a_digest(text, problem):
    message = f"`sha256` must be a SHA-256: 64 hexadecimal digits, but it has {problem}."
    with pytest.raises(InvalidRequestBodyError, match=re.escape(message)):
        parse_sha256(text, field="sha256")


@given(st.text())
def test_any_text_is_a_digest_or_refused(text):
    with pytest.raises(InvalidRequestBodyError):
        parse_sha256(text + "!", field="sha256")
