"""The header fields of every response, and rare cases of HTTP: no request causes a 500."""

import asyncio
import json
import logging
from collections.abc import Iterator
from http import HTTPStatus

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient

from spsd.accounts.service import TOUCH_S
from spsd.digest import Sha256
from spsd.errors import (
    InsufficientStorageError,
    InternalError,
    RequestError,
    StorageBusyError,
    StorageFailedError,
    TooManyReadersError,
)
from spsd.jobs.job import Job, JobKey
from spsd.web.app import BODY_LIMIT, build_app
from spsd.web.middleware.problems import STATUS
from tests.web.conftest import IDLE_S, PASSWORD, Api, basic

LOG_IN = "/api/authentication"
FETCH = "/api/firmware/fetch"
KEY = "6d0b4c0e-8f0e-4c4b-9d6a-3a1f0e5b7c21"
URL = "https://images.example.org/appliance.iso"
BODY = json.dumps({"url": URL, "checksum": {"sha256": "a" * 64}})
QUEUED = Job.submitted(JobKey(KEY), URL, Sha256("a" * 64), now=1_935_652_522)


def has_common_header_fields(response: ClientResponse, allow: str) -> None:
    assert response.headers["Allow"] == allow
    assert response.headers["Content-Language"] == "en"
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


async def is_problem(
    response: ClientResponse, status: int, kind: str, href: str, /, **details: object
) -> str:
    """Check the whole error document; returns its message."""
    document = await response.json()
    message = document["error"]["message"]
    assert response.status == status, document
    assert document == {
        "error": {"type": kind, "message": message, "details": details},
        "meta": {"href": href, "parent": href.rpartition("/")[0] or None},
    }
    return message


def errors(kind: type[RequestError] = RequestError) -> Iterator[type[RequestError]]:
    for subclass in kind.__subclasses__():
        yield subclass
        yield from errors(subclass)


def test_every_error_has_a_status() -> None:
    assert set(STATUS) == set(errors())
    # The client is not at fault, and the same request may succeed later.
    server_errors = {kind for kind, status in STATUS.items() if status >= 500}
    assert server_errors == {
        InsufficientStorageError,
        StorageBusyError,
        StorageFailedError,
        InternalError,
        TooManyReadersError,
    }
    assert all(400 <= status < 600 for status in STATUS.values())


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", FETCH, 200, "GET, HEAD, POST"),
        ("POST", FETCH, 202, "GET, HEAD, POST"),
        ("PUT", FETCH, 405, "GET, HEAD, POST"),
        ("GET", f"{FETCH}/{KEY}", 200, "DELETE, GET, HEAD"),
        ("GET", f"{FETCH}/x", 404, "DELETE, GET, HEAD"),
        ("DELETE", f"{FETCH}/{KEY}", 200, "DELETE, GET, HEAD"),
        ("GET", LOG_IN, 401, "DELETE, GET, HEAD"),
        ("DELETE", LOG_IN, 200, "DELETE, GET, HEAD"),
        ("POST", LOG_IN, 405, "DELETE, GET, HEAD"),
        ("GET", "/nothing/here", 404, ""),
    ],
)
async def test_the_common_header_fields(
    api: Api, method: str, path: str, status: int, allow: str
) -> None:
    client = await api.client()
    await api.jobs.add(QUEUED)
    response = await client.request(method, path, data=BODY if method == "POST" else None)
    assert response.status == status
    has_common_header_fields(response, allow)


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH"])
async def test_a_client_without_a_session_gets_them_too(api: Api, method: str) -> None:
    client = await api.client(None)
    response = await client.request(method, FETCH)
    await is_problem(response, 401, "Unauthenticated", FETCH, resource=FETCH)
    has_common_header_fields(response, "GET, HEAD, POST")
    assert response.headers["WWW-Authenticate"] == 'Cookie realm="spsd", cookie-name="session_id"'


@pytest.mark.parametrize("path", ["/none", "/api/none", "/api/nope", "/favicon.ico"])
async def test_without_a_session_unknown_paths_are_not_revealed(api: Api, path: str) -> None:
    client = await api.client(None)
    await is_problem(await client.get(path), 401, "Unauthenticated", path, resource=path)
    client = await api.client()
    await is_problem(await client.get(path), 404, "ResourceNotFound", path, resource=path)


@pytest.mark.parametrize("path", ["/api", FETCH, f"{FETCH}/{KEY}", f"{FETCH}/x", "/nope"])
async def test_head_is_get_without_a_body(api: Api, path: str) -> None:
    client = await api.client()
    await api.jobs.add(QUEUED)
    get, head = await client.get(path), await client.head(path)
    assert head.status == get.status
    assert await head.read() == b""
    for name in ("Allow", "Content-Type", "Content-Length"):
        assert head.headers[name] == get.headers[name]


async def test_the_document_of_a_method_that_is_not_allowed(api: Api) -> None:
    client = await api.client()
    response = await client.put(FETCH, data=BODY)
    message = await is_problem(response, 405, "MethodNotAllowed", FETCH, allow="GET, HEAD, POST")
    assert message == f"{FETCH} has the methods GET, HEAD, POST, not PUT."
    assert await api.jobs.list() == []


async def test_details_name_the_field(api: Api) -> None:
    client = await api.client()
    for content, kind, field in [
        ({}, "IncompleteRequestBodyError", "url"),
        ({"url": URL}, "IncompleteRequestBodyError", "checksum"),
        ({"url": URL, "checksum": {}}, "IncompleteRequestBodyError", "checksum.sha256"),
    ]:
        response = await client.post(FETCH, json=content)
        message = await is_problem(response, 400, kind, FETCH, field=field, resource=FETCH)
        assert f"`{field}`" in message
    for content, field in [
        ({"url": "ftp://a/b", "checksum": {"sha256": "a" * 64}}, "url"),
        ({"url": URL, "checksum": {"sha256": "a" * 63}}, "checksum.sha256"),
    ]:
        response = await client.post(FETCH, json=content)
        message = await is_problem(response, 400, "InvalidRequestBodyError", FETCH, field=field)
        assert f"`{field}`" in message
    assert await api.jobs.list() == []


async def test_a_body_may_have_64_kib_and_not_more(api: Api) -> None:
    client = await api.client()
    padding = " " * (BODY_LIMIT - len(BODY))
    response = await client.post(FETCH, data=BODY + padding + " ")
    message = await is_problem(response, 413, "RequestBodyTooLarge", FETCH)
    assert message == "The body is longer than 64 KiB."
    assert await api.jobs.list() == []
    assert (await client.post(FETCH, data=BODY + padding)).status == 202


async def test_the_limit_applies_to_a_body_without_a_length(api: Api) -> None:
    async def blocks(size: int):
        yield BODY.encode()
        for _ in range(size // 1024):
            yield b" " * 1024

    client = await api.client()
    response = await client.post(FETCH, data=blocks(2 * BODY_LIMIT))
    await is_problem(response, 413, "RequestBodyTooLarge", FETCH)
    assert await api.jobs.list() == []
    assert (await client.post(FETCH, data=blocks(1024))).status == 202


async def test_a_body_without_the_coding_of_its_header(api: Api, caplog) -> None:
    client = await api.client()
    response = await client.post(
        FETCH, data=b"no gzip at all", headers={"Content-Encoding": "gzip"}
    )
    message = await is_problem(response, 400, "InvalidRequestBodyError", FETCH)
    assert "gzip" in message
    assert "\n" not in message
    assert not [record for record in caplog.records if record.name.startswith("spsd")]
    assert await api.jobs.list() == []


@pytest.mark.parametrize(
    "origin", ["http://[", "http://", "", "null", "file://", "ü", "http://a b"]
)
async def test_an_invalid_origin_counts_as_another_site(api: Api, origin: str) -> None:
    client = await api.client()
    await api.jobs.add(QUEUED)
    href = f"{FETCH}/{KEY}"
    response = await client.delete(href, headers={"Origin": origin})
    await is_problem(response, 403, "Unauthorized", href, resource=href)
    assert await api.jobs.list() == [QUEUED]


async def test_the_port_is_part_of_an_origin(api: Api) -> None:
    client = await api.client()
    other_port = {"Origin": f"http://{client.host}:{client.port + 1}"}
    assert (await client.post(FETCH, data=BODY, headers=other_port)).status == 403
    assert await api.jobs.list() == []


async def test_reads_from_other_sites_are_answered_without_cors_permission(api: Api) -> None:
    client = await api.client()
    other_site = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    response = await client.get(FETCH, headers=other_site)
    assert response.status == 200
    assert "Access-Control-Allow-Origin" not in response.headers


async def test_installing_cannot_be_cancelled(api: Api) -> None:
    client = await api.client()
    job = QUEUED.start(1, now=1_935_652_522).verified(9, "", now=1_935_652_522)
    await api.jobs.add(job)
    href = f"{FETCH}/{KEY}"
    response = await client.delete(href)
    await is_problem(response, 409, "FetchNotCancellable", href, resource=href)
    assert await api.jobs.list() == [job]


async def test_an_unexpected_exception_is_logged_once_and_not_revealed(
    api: Api, caplog, monkeypatch
) -> None:
    client = await api.client()

    async def broken(_selection: object) -> None:
        raise RuntimeError("an internal secret")

    monkeypatch.setattr(api.jobs, "list", broken)
    with caplog.at_level(logging.ERROR):
        response = await client.get(FETCH)
    message = await is_problem(response, 500, "InternalError", FETCH)
    assert "secret" not in message
    has_common_header_fields(response, "GET, HEAD, POST")
    [record] = caplog.records
    assert record.exc_info is not None
    assert "an internal secret" in str(record.exc_info[1])


async def test_an_extended_session_renews_its_cookie_with_any_response(api: Api) -> None:
    for name, method, path, status in [
        ("admin", "GET", FETCH, 200),
        ("admin", "GET", f"{FETCH}/x", 404),
        ("admin", "POST", FETCH, 400),
        ("viewer", "POST", FETCH, 403),
    ]:
        client = await api.client(name)
        before = token_of(client)
        assert not (await client.get(FETCH)).cookies
        api.clock.seconds += TOUCH_S
        response = await client.request(method, path)
        assert response.status == status
        cookie = response.cookies["session_id"]
        assert (cookie.value, cookie["max-age"]) == (before, str(IDLE_S))


@pytest.mark.parametrize("secure", [True, False])
async def test_the_cookie_is_secure_with_tls(api: Api, aiohttp_client, secure: bool) -> None:
    await api.client(None)
    app = build_app(api.services, secure=secure, config_hash=str)
    client = await aiohttp_client(app)
    opened = await client.get(LOG_IN, headers=basic("admin", PASSWORD))
    cookie = opened.cookies["session_id"]
    assert bool(cookie["secure"]) is secure
    closed = await client.delete(LOG_IN, headers={"Cookie": f"session_id={cookie.value}"})
    assert closed.status == 200
    deleted = closed.cookies["session_id"]
    assert (deleted.value, deleted["max-age"], deleted["path"]) == ("", "0", "/")
    assert await closed.json() == {"meta": {"href": LOG_IN, "parent": "/api"}}


async def test_log_out_needs_a_session_of_any_role(api: Api) -> None:
    client = await api.client("viewer")
    assert (await client.delete(LOG_IN)).status == 200
    response = await client.delete(LOG_IN)
    await is_problem(response, 401, "Unauthenticated", LOG_IN, resource=LOG_IN)
    assert response.headers["WWW-Authenticate"] == 'Basic realm="spsd", charset="UTF-8"'


@pytest.mark.parametrize("cookie", ["0" * 40, "", "\udcff", '"\\377"'])
async def test_an_invalid_cookie_does_not_prevent_log_in(api: Api, cookie: str) -> None:
    client = await api.client(None)
    headers = basic("admin", PASSWORD) | {"Cookie": f"session_id={cookie}"}
    raw = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    response = await exchange(client, f"GET {LOG_IN} HTTP/1.1\r\nHost: x\r\n{raw}")
    assert response.startswith(b"HTTP/1.1 200 ")


async def test_credentials_are_utf_8_and_may_have_colons(api: Api) -> None:
    await api.accounts.set_password("admin", "Tür:zu:und:✓")
    client = await api.client(None)
    response = await client.get(LOG_IN, headers=basic("admin", "Tür:zu:und:✓"))
    assert response.status == 200


@pytest.mark.parametrize("key", ["%00", "%ff", "%ed%a0%80", "..%2f..", "%F0%9F%92%A5", "a" * 4000])
async def test_any_invalid_key_is_not_found(api: Api, key: str) -> None:
    client = await api.client()
    cookie = f"Cookie: session_id={token_of(client)}\r\n"
    for method in ("GET", "DELETE"):
        response = await exchange(client, f"{method} {FETCH}/{key} HTTP/1.1\r\nHost: x\r\n{cookie}")
        assert response.startswith(b"HTTP/1.1 404 ")
        assert json.loads(response.partition(b"\r\n\r\n")[2])["error"]["type"] == "ResourceNotFound"


async def test_a_client_that_disconnects_causes_no_logged_error(api: Api, caplog) -> None:
    client = await api.client()
    cookie = f"Cookie: session_id={token_of(client)}\r\n"
    head = f"POST {FETCH} HTTP/1.1\r\nHost: x\r\n{cookie}Content-Length: 40\r\n"
    await exchange(client, head, b"half", disconnect=True)
    assert (await client.get(FETCH)).status == HTTPStatus.OK
    assert not caplog.records
    assert await api.jobs.list() == []


def token_of(client: TestClient) -> str:
    return client.session.cookie_jar.filter_cookies(client.make_url("/"))["session_id"].value


async def exchange(
    client: TestClient, head: str, body: bytes = b"", *, disconnect: bool = False
) -> bytes:
    """The bytes of the response to a request that HTTP clients would not send."""
    reader, writer = await asyncio.open_connection(client.host, client.port)
    message = f"{head}Connection: close\r\n\r\n".encode(errors="surrogateescape")
    writer.write(message + body)
    await writer.drain()
    if disconnect:
        writer.write_eof()
    try:
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()
