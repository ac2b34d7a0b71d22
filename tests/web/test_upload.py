"""Uploads over a real server: as a body or a form, refusals, and that nothing of those remains."""

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spsd.slots.reservations import Holder
from spsd.web.limits import WebLimits
from testbed.iso import NEWS, NOTES, build_iso
from testbed.waiting import until
from tests.web.conftest import LIMITS, Api
from tests.web.test_answers import has_common_header_fields, is_problem, token_of

UPLOAD = "/api/upload/firmware"
ISO_TYPE = {"Content-Type": "application/x-iso9660-image"}
HEAD = b'--x\r\nContent-Disposition: form-data; name="firmware"\r\n\r\n'
INCOMPLETE, INVALID = "IncompleteRequestBodyError", "InvalidRequestBodyError"


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("iso") / "image.iso"
    # Longer than two blocks of the upload.
    return build_iso(path, payload=bytes(range(256)) * 400, size=2_500_000).read_bytes()


def expected_document(slot: int, *, empty: int, current: bool = False) -> dict[str, object]:
    return {
        "body": {
            "after_reboot": False,
            "current": current,
            "upgrade_news": NEWS,
            "upgrade_notes": NOTES,
            "version": "2.5.0",
        },
        "key": str(slot),
        "meta": {
            "href": UPLOAD,
            "slot": f"/api/firmware/slots/{slot}",
            "test": "/api/firmware/test",
            "upgrade": "/api/firmware/upgrade",
            "number_of_empty_slots": empty,
        },
    }


def image_in(root: Path, slot: int) -> bytes:
    return (root / "slots" / str(slot) / "image").read_bytes()


def nothing_remains(api: Api, root: Path) -> None:
    assert list((root / "staging").iterdir()) == []
    assert [path for path in (root / "slots").iterdir() if path.name.isdecimal()] == []
    assert [api.reservations.holder(slot) for slot in (1, 2, 3)] == [None] * 3


def form(content: bytes, name: str = "firmware", **more: str) -> aiohttp.FormData:
    """A form with a field before the image, and with ``more`` fields after it."""
    data = aiohttp.FormData()
    data.add_field("comment", "x" * 3000)
    data.add_field(name, BytesIO(content), filename="image.iso")
    for field, value in more.items():
        data.add_field(field, value)
    return data


@pytest.mark.parametrize(
    "content_type",
    [
        *(None, "application/x-iso9660-image", "application/octet-stream", "no type at all"),
        *("application/x-www-form-urlencoded", "text/x; charset=utf-8"),
    ],
)
async def test_the_whole_body(
    api: Api, image: bytes, tmp_path: Path, content_type: str | None
) -> None:
    client = await api.client()
    headers = {} if content_type is None else {"Content-Type": content_type}
    response = await client.post(UPLOAD, data=BytesIO(image), headers=headers)
    assert response.status == 200
    assert await response.json() == expected_document(1, empty=2)
    has_common_header_fields(response, "POST")
    assert image_in(tmp_path, 1) == image
    assert list((tmp_path / "staging").iterdir()) == []


async def test_a_form(api: Api, image: bytes, tmp_path: Path) -> None:
    client = await api.client()
    response = await client.post(UPLOAD, data=form(image, after="y", _charset_="utf-8"))
    assert response.status == 200
    assert await response.json() == expected_document(1, empty=2)
    assert image_in(tmp_path, 1) == image


async def test_a_body_without_a_length(api: Api, image: bytes, tmp_path: Path) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(image), 100_000):
            yield image[at : at + 100_000]

    client = await api.client()
    assert (await client.post(UPLOAD, data=pieces(), headers=ISO_TYPE)).status == 200
    assert image_in(tmp_path, 1) == image


async def test_an_image_that_is_already_installed(api: Api, image: bytes) -> None:
    await api.start(current=1)
    client = await api.client()
    for _ in range(2):
        response = await client.post(UPLOAD, data=BytesIO(image))
        assert await response.json() == expected_document(1, empty=2, current=True)


async def test_both_header_fields(api: Api, image: bytes, tmp_path: Path) -> None:
    digest = hashlib.sha256(image)
    encoded = base64.b64encode(digest.digest()).decode()
    fields = {
        "Repr-Digest": f"sha-512=:AAAA:, sha-256=:{encoded}:",
        "X-Checksum-Sha256": digest.hexdigest().upper(),
    }
    client = await api.client()
    for data in (BytesIO(image), form(image)):
        assert (await client.post(UPLOAD, data=data, headers=fields)).status == 200
    assert image_in(tmp_path, 1) == image


async def test_several_lines_of_one_field(api: Api, image: bytes, tmp_path: Path) -> None:
    """They are one list (RFC 9110 section 5.3); the last value of a key counts (RFC 9651)."""
    encoded = base64.b64encode(hashlib.sha256(image).digest()).decode()
    lines = ("sha-512=:AAAA:", f"sha-256=:{'A' * 43}=:", f"sha-256=:{encoded}:")
    client = await api.client()
    headers = [("Repr-Digest", line) for line in lines]
    assert (await client.post(UPLOAD, data=BytesIO(image), headers=headers)).status == 200
    headers.append(headers[1])
    response = await client.post(UPLOAD, data=BytesIO(image), headers=headers)
    assert (await response.json())["error"]["type"] == "ChecksumMismatch"


@pytest.mark.parametrize("as_form", [False, True])
@pytest.mark.parametrize("field", ["Repr-Digest", "X-Checksum-Sha256"])
async def test_a_wrong_digest(
    api: Api, image: bytes, tmp_path: Path, field: str, as_form: bool
) -> None:
    other = hashlib.sha256(b"other")
    encoded = base64.b64encode(other.digest()).decode()
    value = f"sha-256=:{encoded}:" if field == "Repr-Digest" else other.hexdigest()
    client = await api.client()
    data = form(image) if as_form else BytesIO(image)
    response = await client.post(UPLOAD, data=data, headers={field: value})
    computed = hashlib.sha256(image).hexdigest()
    details = {"expected": other.hexdigest(), "computed": computed, "bytes": len(image)}
    await is_problem(response, 400, "ChecksumMismatch", UPLOAD, **details)
    nothing_remains(api, tmp_path)


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ({"Repr-Digest": "sha-256=AAAA"}, "Repr-Digest"),
        ({"Repr-Digest": f"sha-256=:{'A' * 43}=:, ä=1"}, "Repr-Digest"),
        ({"X-Checksum-Sha256": "a" * 63}, "X-Checksum-Sha256"),
        ({"X-Checksum-Sha256": "a" * 64, "Repr-Digest": f"sha-256=:{'A' * 43}=:"}, "Repr-Digest"),
    ],
)
async def test_invalid_header_fields(
    api: Api, image: bytes, tmp_path: Path, headers: dict[str, str], field: str
) -> None:
    client = await api.client()
    response = await client.post(UPLOAD, data=BytesIO(image), headers=headers)
    message = await is_problem(response, 400, INVALID, UPLOAD, field=field)
    assert f"`{field}`" in message
    nothing_remains(api, tmp_path)


async def test_other_files_are_refused(api: Api, tmp_path: Path) -> None:
    client = await api.client()
    for data in (b"no image" * 10_000, form(b"no image" * 10_000)):
        response = await client.post(UPLOAD, data=data)
        details = {"bytes": 80_000, "begins_with": "6e6f20696d6167656e6f20696d616765"}
        message = await is_problem(response, 422, "NotAnImage", UPLOAD, **details)
        assert "begins with 6e6f" in message
    nothing_remains(api, tmp_path)


async def test_no_bytes_or_no_part(api: Api, image: bytes, tmp_path: Path) -> None:
    client = await api.client()
    for data in (b"", form(b""), form(image, name="image"), form(image, name="Firmware")):
        response = await client.post(UPLOAD, data=data)
        message = await is_problem(
            response, 400, INCOMPLETE, UPLOAD, field="firmware", resource=UPLOAD
        )
        assert "`firmware`" in message
    nothing_remains(api, tmp_path)


async def test_unusable_forms(api: Api, image: bytes, tmp_path: Path) -> None:
    client = await api.client()
    encoded = HEAD.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: Base64\r\n\r\n")
    for data, headers, reason in [
        (form(image, firmware="again"), {}, "more than one"),
        (
            encoded + b"QUJD\r\n--x--",
            {"Content-Type": "multipart/form-data; boundary=x"},
            "unencoded",
        ),
    ]:
        response = await client.post(UPLOAD, data=data, headers=headers)
        assert reason in await is_problem(response, 400, INVALID, UPLOAD, field="firmware")
    for content_type in ("multipart/form-data", "multipart/mixed; boundary=x", "Multipart/ x"):
        response = await client.post(
            UPLOAD, data=BytesIO(image), headers={"Content-Type": content_type}
        )
        assert "boundary" in await is_problem(response, 400, INVALID, UPLOAD)
    nothing_remains(api, tmp_path)


async def test_a_body_without_the_coding_of_its_header(api: Api, tmp_path: Path) -> None:
    client = await api.client()
    response = await client.post(UPLOAD, data=b"no gzip", headers={"Content-Encoding": "gzip"})
    await is_problem(response, 400, INVALID, UPLOAD)
    nothing_remains(api, tmp_path)


async def test_an_upload_needs_an_admin(api: Api, image: bytes, tmp_path: Path) -> None:
    viewer, anonymous = await api.client("viewer"), await api.client(None)
    for client, status, kind in [
        (viewer, 403, "Unauthorized"),
        (anonymous, 401, "Unauthenticated"),
    ]:
        response = await client.post(UPLOAD, data=BytesIO(image))
        await is_problem(response, status, kind, UPLOAD, resource=UPLOAD)
    nothing_remains(api, tmp_path)


async def test_other_methods(api: Api) -> None:
    client = await api.client()
    for method in ("GET", "PUT", "DELETE"):
        await is_problem(
            await client.request(method, UPLOAD), 405, "MethodNotAllowed", UPLOAD, allow="POST"
        )


class RawConnection:
    """A connection on which a test sends any bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def post(cls, client: TestClient, *fields: str, version: str = "1.1") -> "RawConnection":
        raw = cls(*await asyncio.open_connection(client.host, client.port))
        cookies = client.session.cookie_jar.filter_cookies(client.make_url("/"))
        cookie = [f"Cookie: session_id={token_of(client)}"] if cookies else []
        lines = [f"POST {UPLOAD} HTTP/{version}", "Host: x", *cookie, *fields]
        raw.writer.write("\r\n".join([*lines, "", ""]).encode())
        await raw.writer.drain()
        return raw

    async def send(self, content: bytes) -> None:
        self.writer.write(content)
        await self.writer.drain()

    async def head(self) -> bytes:
        return await self.reader.readuntil(b"\r\n\r\n")

    async def response(self) -> tuple[bytes, dict]:
        """Head and document of a response."""
        head = await self.head()
        length = re.search(rb"Content-Length: (\d+)", head)
        return head, json.loads(await self.reader.readexactly(int(length[1])))

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


EXPECT = "Expect: 100-continue"


async def test_100_continue_is_sent_when_a_slot_is_reserved(
    api: Api, image: bytes, tmp_path: Path
) -> None:
    raw = await RawConnection.post(await api.client(), EXPECT, f"Content-Length: {len(image)}")
    assert await raw.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert api.reservations.holder(1) is Holder.UPLOAD
    await raw.send(image)
    head, document = await raw.response()
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"close" not in head
    assert document == expected_document(1, empty=2)
    assert image_in(tmp_path, 1) == image
    await raw.close()


@pytest.mark.parametrize("name", ["admin", "viewer", None])
async def test_a_refusal_is_sent_before_the_body(
    api: Api, tmp_path: Path, name: str | None
) -> None:
    while await api.reservations.reserve(Holder.DOWNLOAD) is not None:
        pass
    raw = await RawConnection.post(await api.client(name), EXPECT, "Content-Length: 1000000000")
    head, document = await raw.response()
    status, kind = {"admin": (409, "NoEmptySlot"), "viewer": (403, "Unauthorized")}.get(
        name, (401, "Unauthenticated")
    )
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"Connection: close" in head
    assert document["error"]["type"] == kind
    await raw.close()


async def test_other_expectations_are_refused(api: Api, tmp_path: Path) -> None:
    raw = await RawConnection.post(await api.client(), "Expect: 200-ok", "Content-Length: 5")
    head, document = await raw.response()
    assert head.startswith(b"HTTP/1.1 417 ")
    assert document["error"]["type"] == "ExpectationFailed"
    await raw.close()
    nothing_remains(api, tmp_path)


async def test_an_http_1_0_client_gets_no_100(api: Api, tmp_path: Path) -> None:
    """RFC 9110 section 10.1.1: the expectation of an HTTP/1.0 client is ignored."""
    raw = await RawConnection.post(await api.client(), EXPECT, "Content-Length: 5", version="1.0")
    await raw.send(b"bytes")
    head, document = await raw.response()
    assert b" 422 " in head
    assert document["error"]["type"] == "NotAnImage"
    await raw.close()
    nothing_remains(api, tmp_path)


@pytest.mark.parametrize(
    ("content_type", "start"),
    [("application/octet-stream", b""), ("multipart/form-data; boundary=x", HEAD)],
)
async def test_nothing_remains_of_an_aborted_upload(
    api: Api, image: bytes, tmp_path: Path, content_type: str, start: bytes, caplog
) -> None:
    client = await api.client()
    length = f"Content-Length: {len(image) + len(start)}"
    raw = await RawConnection.post(client, length, f"Content-Type: {content_type}")
    await raw.send(start + image[:1_500_000])
    await until(lambda: list((tmp_path / "staging").iterdir()))
    raw.writer.transport.abort()
    await until(lambda: api.reservations.holder(1) is None)
    nothing_remains(api, tmp_path)
    await until(lambda: caplog.records)
    assert [record.getMessage() for record in caplog.records] == [
        'upload address=127.0.0.1 user="admin" result="InvalidRequestBodyError"'
    ]
    assert (await client.post(UPLOAD, data=BytesIO(image))).status == 200


async def test_a_client_that_stops_sending_is_refused(
    api: Api, image: bytes, tmp_path: Path, caplog
) -> None:
    await api.start(limits=replace(LIMITS, web=WebLimits(upload_idle_s=0.2)))
    raw = await RawConnection.post(await api.client(), f"Content-Length: {len(image)}")
    await raw.send(image[:1_500_000])
    head, document = await raw.response()
    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"Connection: close" in head
    assert document["error"]["type"] == "RequestTimeout"
    assert "0.2 seconds" in document["error"]["message"]
    nothing_remains(api, tmp_path)
    assert [record.getMessage() for record in caplog.records] == [
        'upload address=127.0.0.1 user="admin" result="RequestTimeout"'
    ]
    await raw.close()


async def test_a_client_below_the_minimum_rate_is_refused(
    api: Api, image: bytes, tmp_path: Path
) -> None:
    """No pause is longer than the limit, but the rate is too low."""
    await api.start(limits=replace(LIMITS, web=WebLimits(upload_idle_s=0.5)))
    raw = await RawConnection.post(await api.client(), f"Content-Length: {len(image)}")
    response = asyncio.create_task(raw.response())
    try:
        while not response.done():
            await raw.send(b"\0")
            await asyncio.wait([response], timeout=0.05)
    except ConnectionError:
        pass
    head, document = await response
    assert head.startswith(b"HTTP/1.1 408 ")
    assert document["error"]["type"] == "RequestTimeout"
    nothing_remains(api, tmp_path)
    await raw.close()


async def test_the_slot_of_a_running_upload_is_in_use(
    api: Api, image: bytes, tmp_path: Path
) -> None:
    client = await api.client()
    raw = await RawConnection.post(client, EXPECT, f"Content-Length: {len(image)}")
    await raw.head()
    path = "/api/firmware/slots/1"
    message = await is_problem(await client.delete(path), 409, "SlotInUse", path, resource=path)
    assert "a running upload" in message
    await raw.send(image)
    head, _ = await raw.response()
    assert head.startswith(b"HTTP/1.1 200 ")
    await raw.close()


SHREDS = st.lists(
    st.sampled_from(
        [
            *(HEAD, b"--x", b"--x--", b"--", b"\r\n", b"\r\n\r\n", b"\n", b"\x00\xff", b"y" * 9000),
            *(b"Content-Disposition: form-data; ", b'name="firmware"', b'name="', b"name*=u'x"),
            *(b"Content-Type: multipart/mixed; boundary=y\r\n", b"Content-Length: -1\r\n"),
            *(b"Content-Transfer-Encoding: base64\r\n", b"Content-Encoding: gzip\r\n"),
            *(b'name="_charset_"', b"\r\n\r\n" + b"z" * 40),
        ]
    ),
    max_size=12,
).map(b"".join)
TYPES = st.sampled_from(
    [
        *["multipart/form-data; boundary=x"] * 8,
        *("multipart/form-data; boundary", 'multipart/form-data;boundary="x', "multipart/"),
        *("multipart/form-data; boundary*=undefined'x'y", "multipart/mixed; boundary=x"),
    ]
)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(content_type=TYPES, body=SHREDS | st.binary(max_size=200))
async def test_no_malformed_form_causes_a_500(
    api: Api, tmp_path: Path, content_type: str, body: bytes
) -> None:
    client = api.clients[0] if api.clients else await api.client()
    api.clients = [client]
    response = await client.post(UPLOAD, data=body, headers={"Content-Type": content_type})
    # None of the bodies has an image, so none may be installed.
    assert response.status in (400, 422), await response.text()
    assert (await response.json())["error"]["type"] in (INCOMPLETE, INVALID, "NotAnImage")
    nothing_remains(api, tmp_path)


async def test_a_refusal_reaches_a_client_that_sends_its_body_at_once(
    api: Api, tmp_path: Path
) -> None:
    while await api.reservations.reserve(Holder.DOWNLOAD) is not None:
        pass
    raw = await RawConnection.post(await api.client(), "Content-Length: 5000000")
    await raw.send(bytes(5_000_000))
    head, document = await raw.response()
    assert head.startswith(b"HTTP/1.1 409 ")
    assert document["error"]["type"] == "NoEmptySlot"
    assert list((tmp_path / "staging").iterdir()) == []
    await raw.close()
