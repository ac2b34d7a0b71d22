"""Invalid requests get a clear error in the common shape, and change nothing."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from aiohttp.test_utils import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spsd.web.limits import WebLimits
from tests.web.conftest import LIMITS, Api

FETCH = "/api/firmware/fetch"
GOOD = {"url": "https://example.com/a.iso", "checksum": {"sha256": "a" * 64}}


def body(**changes: object) -> str:
    return json.dumps({k: v for k, v in (GOOD | changes).items() if v is not None})


async def refused(response, status: int, kind: str, href: str = FETCH) -> dict:
    """Check the error shape, and the header fields of every response; returns ``error``."""
    assert response.status == status, await response.text()
    document = await response.json()
    assert set(document) == {"error", "meta"}
    assert set(document["error"]) == {"type", "message", "details"}
    assert document["error"]["type"] == kind
    assert document["error"]["message"]
    assert document["meta"] == {"href": href, "parent": href.rpartition("/")[0] or None}
    assert response.headers["Content-Type"].startswith("application/json")
    assert response.headers["Content-Language"] == "en"
    assert "Allow" in response.headers
    return document["error"]


async def nothing_queued(client: TestClient) -> None:
    assert (await (await client.get(FETCH)).json())["items"] == []


INCOMPLETE, INVALID = "IncompleteRequestBodyError", "InvalidRequestBodyError"


@pytest.mark.parametrize(
    ("content", "kind", "part_of_message"),
    [
        ("", INVALID, "body"),
        ("{", INVALID, "body"),
        ("url=x", INVALID, "body"),
        (b"\xff\xfe", INVALID, "body"),
        ("[]", INVALID, "array"),
        ("null", INVALID, "null"),
        ("[" * 30000, INVALID, "body"),
        ("{}", INCOMPLETE, "`url`"),
        (body(url=None), INCOMPLETE, "`url`"),
        (body(checksum=None), INCOMPLETE, "`checksum`"),
        (body(checksum={}), INCOMPLETE, "`checksum.sha256`"),
        (body(checksum="a" * 64), INVALID, "$.checksum"),
        (body(checksum={"md5": "a" * 32}), INVALID, "md5"),
        (body(checksum={"sha256": "a" * 64, "sha1": "a"}), INVALID, "sha1"),
        (body(checksum={"sha256": 1}), INVALID, "$.checksum.sha256"),
        (body(checksum={"sha256": "a" * 63}), INVALID, "`checksum.sha256`"),
        (body(checksum={"sha256": "a" * 65}), INVALID, "`checksum.sha256`"),
        (body(checksum={"sha256": "g" * 64}), INVALID, "`checksum.sha256`"),
        (body(checksum={"sha256": "\u0661" * 64}), INVALID, "`checksum.sha256`"),
        (body(url=1), INVALID, "$.url"),
        (body(url="ftp://example.com/a"), INVALID, "`url`"),
        (body(url="file:///etc/passwd"), INVALID, "`url`"),
        (body(url="https:///a.iso"), INVALID, "`url`"),
        (body(url="example.com/a.iso"), INVALID, "`url`"),
        (body(url="http://example.com:99999/"), INVALID, "`url`"),
        (body(url="http://exa mple.com/"), INVALID, "`url`"),
        (body(url="http://[::1/"), INVALID, "`url`"),
        (body(url="http://" + "a" * 64 + ".com/"), INVALID, "`url`"),
        (body(url="https://example.com/" + "a" * 8192), INVALID, "`url`"),
        (body(slot=3), INVALID, "slot"),
        (json.dumps(GOOD | {"mirrors": None}), INVALID, "$.mirrors"),
        (body(mirrors="https://example.com/a.iso"), INVALID, "$.mirrors"),
        (body(mirrors={}), INVALID, "$.mirrors"),
        (body(mirrors=[1]), INVALID, "$.mirrors[0]"),
        (body(mirrors=[None]), INVALID, "$.mirrors[0]"),
        (body(mirrors=[f"https://{n}.example/" for n in range(17)]), INVALID, "$.mirrors"),
        (body(mirrors=["https://b/", "https://c/", "ftp://d/"]), INVALID, "`mirrors[2]`"),
        (body(mirrors=["https://b/", ""]), INVALID, "`mirrors[1]`"),
        (body(mirrors=["https://b/" + "a" * 8192]), INVALID, "`mirrors[0]`"),
        (body(mirrors=["file:///etc/passwd"]), INVALID, "`mirrors[0]`"),
        (body(url="ftp://a/", mirrors=["ftp://b/"]), INVALID, "`url`"),
    ],
)
async def test_an_invalid_body(
    api: Api, content: str | bytes, kind: str, part_of_message: str
) -> None:
    client = await api.client()
    error = await refused(await client.post(FETCH, data=content), 400, kind)
    assert part_of_message in error["message"]
    await nothing_queued(client)


async def test_a_body_that_is_too_large(api: Api) -> None:
    client = await api.client()
    response = await client.post(FETCH, data=body() + " " * 65536)
    await refused(response, 413, "RequestBodyTooLarge")
    await nothing_queued(client)


async def test_the_digest_may_be_in_upper_case_and_the_content_type_is_ignored(api: Api) -> None:
    client = await api.client()
    for content_type in ("application/x-www-form-urlencoded", "application/json; charset=utf-8"):
        response = await client.post(
            FETCH,
            data=body(checksum={"sha256": "A" * 64}),
            headers={"Content-Type": content_type, "Accept": "application/octet-stream"},
        )
        assert response.status == 202
        key = (await response.json())["key"]
        assert response.headers["Location"] == f"{FETCH}/{key}"
    assert [job.sha256 for job in await api.jobs.list()] == ["a" * 64] * 2


async def test_mirrors_are_stored_without_repetitions_and_not_shown(api: Api) -> None:
    client = await api.client()
    most = [f"https://{number}.example/a.iso" for number in range(16)]
    for sent, stored in [
        ([], []),
        (["https://b/", GOOD["url"], "https://c/", "https://b/"], ["https://b/", "https://c/"]),
        (most, most),
        ([most[0]] * 16, most[:1]),
    ]:
        response = await client.post(FETCH, data=body(mirrors=sent))
        assert response.status == 202, await response.text()
        shown = await (await client.get(response.headers["Location"])).json()
        assert shown["body"]["url"] == GOOD["url"]
        assert len(shown["body"]) == 8
        job = (await api.jobs.list())[-1]
        assert list(job.mirrors) == stored


async def test_the_details_name_an_invalid_mirror(api: Api) -> None:
    client = await api.client()
    response = await client.post(FETCH, data=body(mirrors=["https://b/", "x"]))
    error = await refused(response, 400, INVALID)
    assert error["details"] == {"field": "mirrors[1]"}
    await nothing_queued(client)


async def test_unknown_paths(api: Api) -> None:
    client = await api.client()
    for method in ("GET", "DELETE"):
        href = f"{FETCH}/6d0b4c0e-8f0e-4c4b-9d6a-3a1f0e5b7c21"
        error = await refused(await client.request(method, href), 404, "ResourceNotFound", href)
        assert error["details"] == {"resource": href}
    await refused(await client.get("/api/nope"), 404, "ResourceNotFound", "/api/nope")


async def test_a_method_that_is_not_allowed(api: Api) -> None:
    client = await api.client()
    for method, href, allow in [
        ("PUT", FETCH, "GET, HEAD, POST"),
        ("DELETE", FETCH, "GET, HEAD, POST"),
        ("POST", f"{FETCH}/x", "DELETE, GET, HEAD"),
    ]:
        response = await client.request(method, href)
        await refused(response, 405, "MethodNotAllowed", href)
        assert response.headers["Allow"] == allow


@pytest.mark.parametrize("cookie", [None, "", "0" * 40, "ü" * 10, '"; drop table session'])
async def test_without_a_session(api: Api, cookie: str | None) -> None:
    client = await api.client(None)
    headers = {} if cookie is None else {"Cookie": f"session_id={cookie}"}
    for method, href in [("GET", FETCH), ("POST", FETCH), ("GET", "/api/nope")]:
        response = await client.request(method, href, data=body(), headers=headers)
        error = await refused(response, 401, "Unauthenticated", href)
        assert error["details"] == {"resource": href}
        assert "WWW-Authenticate" in response.headers
    assert await api.jobs.list() == []


async def test_a_viewer_may_only_read(api: Api) -> None:
    client = await api.client("viewer")
    assert (await client.get(FETCH)).status == 200
    error = await refused(await client.post(FETCH, data=body()), 403, "Unauthorized")
    assert error["details"] == {"resource": FETCH}
    href = f"{FETCH}/x"
    await refused(await client.delete(href), 403, "Unauthorized", href)
    await nothing_queued(client)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_writes_from_other_sites(api: Api, headers: dict[str, str]) -> None:
    client = await api.client()
    await refused(await client.post(FETCH, data=body(), headers=headers), 403, "Unauthorized")
    await nothing_queued(client)
    own = {"Origin": f"http://{client.host}:{client.port}", "Sec-Fetch-Site": "same-origin"}
    assert (await client.post(FETCH, data=body(), headers=own)).status == 202


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["url", "checksum", "sha256", "mirrors", "x"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(content=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
async def test_no_body_causes_an_internal_error(api: Api, content: bytes) -> None:
    client = api.clients[0] if api.clients else await api.client()
    api.clients.append(client)
    response = await client.post(FETCH, data=content)
    assert response.status in (202, 400), content
    assert (await response.json())["meta"]


async def test_a_slow_body_is_refused_after_the_time_limit(api: Api) -> None:
    await api.start(limits=replace(LIMITS, web=WebLimits(body_s=0.3)))
    client = await api.client()

    async def stalled_body() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async with asyncio.timeout(10):
        response = await client.post(FETCH, data=stalled_body())
        error = await refused(response, 408, "RequestTimeout")
    assert "0.3 seconds" in error["message"]
    response.close()
    await nothing_queued(client)


async def test_a_client_that_disconnects_before_its_body_causes_no_logged_error(
    api: Api, caplog
) -> None:
    client = await api.client()
    reader, writer = await asyncio.open_connection(client.host, client.port)
    token = client.session.cookie_jar.filter_cookies(client.make_url("/"))["session_id"].value
    head = f"POST {FETCH} HTTP/1.1\r\nHost: x\r\nCookie: session_id={token}\r\n"
    writer.write(f"{head}Expect: 100-continue\r\nContent-Length: 100\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")  # the handler now waits for the body
    writer.transport.abort()
    await nothing_queued(client)
    await client.close()  # waits for every handler
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
