"""The parser of forms, with any bytes in pieces of any size."""

import itertools
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spsd.errors import InvalidRequestBodyError
from spsd.web.api.multipart import HEADER_LINE_LIMIT, FormParser, PartBegins, PartData

BOUNDARY = "b0undary"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"
Part = tuple[str | None, bytes]


def parsed(body: bytes, cuts: list[int] = []) -> list[Part]:  # noqa: B006 - read only
    form = FormParser(CONTENT_TYPE)
    parts: list[tuple[str | None, bytearray]] = []
    borders = [0, *sorted(cuts), len(body)]
    for start, end in itertools.pairwise(borders):
        for event in form.feed(body[start:end]):
            match event:
                case PartBegins(name=name):
                    parts.append((name, bytearray()))
                case PartData(content=content):
                    assert content
                    parts[-1][1].extend(content)
    form.close()
    return [(name, bytes(content)) for name, content in parts]


def form_of(parts: list[tuple[str, bytes]]) -> bytes:
    body = b""
    for name, content in parts:
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
        body += head.encode() + content + b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode()


NEAR = st.lists(
    st.sampled_from([b"\r", b"\n", b"-", b"--", b"b0undary", b"\r\n", b"\r\n--b0undar", b"x"])
).map(b"".join)
CONTENTS = (st.binary(max_size=200) | NEAR).filter(
    lambda content: f"\r\n--{BOUNDARY}".encode() not in b"\r\n" + content + b"\r\n"
)
PARTS = st.lists(st.tuples(st.sampled_from(["firmware", "other", "x y"]), CONTENTS), max_size=4)


@given(st.data(), PARTS)
def test_every_form_is_parsed_to_its_parts(data: st.DataObject, parts: list[Part]) -> None:
    body = form_of(parts)
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=8))
    assert parsed(body, cuts) == parts
    assert parsed(body, list(range(len(body)))) == parts


@pytest.mark.parametrize(
    "body",
    [
        b"--b0undary--",
        b"--b0undary--\r\nepilogue --b0undary",
        b"preamble\r\n--b0undary--",
    ],
)
def test_a_form_may_have_no_parts(body: bytes) -> None:
    assert parsed(body) == []
    assert parsed(body, list(range(len(body)))) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x",
        b"--b0undary",
        b"--b0undary-",
        b"--b0undary-x",
        b"--b0undaryx\r\n\r\n",
        b"--b0undary\r\n",
        b"--b0undary\r\n\r\nx",
        b"--b0undary\r\n\r\nx--b0undary--",
        b"--b0undary\r\n\r\nx\n--b0undary--",
        b"--b0undary\r\nno field\r\n\r\nx\r\n--b0undary--",
        b"--b0undary\r\n: empty\r\n\r\nx\r\n--b0undary--",
        b"--b0undary\r\n\r\nx\r\n--b0undary \r\r\n",
        b"--b0undary\r\na: " + b"b" * HEADER_LINE_LIMIT,
        b"--b0undary" + b" " * 300,
        b"--B0UNDARY--",
    ],
)
def test_malformed_forms_are_refused(body: bytes) -> None:
    for cuts in ([], list(range(len(body)))):
        with pytest.raises(InvalidRequestBodyError, match="form cannot be read"):
            parsed(body, cuts)


SHREDS = st.lists(
    st.sampled_from(
        [
            *(b"--b0undary", b"--", b"\r\n", b"\r", b"\n", b" ", b"a: b", b":"),
            *(b"Content-Disposition: form-data; ", b'name="firmware"', b"\xff", b"x" * 300),
        ]
    ),
    max_size=40,
).map(b"".join)


@given(SHREDS | st.binary(max_size=300))
@example(b"--b0undary\r\nContent-Disposition: form-data; name=\xff\r\n\r\n\r\n--b0undary--")
def test_no_form_raises_another_error(body: bytes) -> None:
    for cuts in ([], list(range(len(body)))):
        with suppress(InvalidRequestBodyError):
            parsed(body, cuts)


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=ä",
        'multipart/form-data; boundary="ä"',
        'multipart/form-data; boundary="\udcff"',
        "multipart/form-data; boundary=" + "x" * 71,
        "multipart/mixed; boundary=x",
        "multipart/; boundary=x",
    ],
)
def test_content_types_that_are_refused(content_type: str) -> None:
    with pytest.raises(InvalidRequestBodyError, match="with a boundary"):
        FormParser(content_type)


@given(
    st.text(max_size=40)
    | st.lists(
        st.sampled_from(
            [
                "multipart/form-data",
                ";",
                "boundary",
                "*",
                "*0",
                "=",
                '"',
                "\\",
                "a",
                "%ff",
                "utf-8''",
                " ",
            ]
        )
    ).map("".join)
)
@example("multipart/form-data; boundary*=x''%ff")
@example("multipart/form-data; boundary*0=a; boundary*1=b")
@example("multipart/form-data; boundary=\udcff")
def test_no_content_type_raises_another_error(content_type: str) -> None:
    with suppress(InvalidRequestBodyError):
        FormParser(content_type)
