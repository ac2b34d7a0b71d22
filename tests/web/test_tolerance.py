"""Requests of public clients that differ from the guide: they are accepted."""

import pytest

from tests.web.conftest import PASSWORD, Api, basic
from tests.web.test_answers import exchange, token_of

FETCH = "/api/firmware/fetch"


@pytest.mark.parametrize(
    "path", ["/api//", "/api/", "//api", "/api/firmware//", "/api//firmware/fetch"]
)
async def test_superfluous_slashes(api: Api, path: str) -> None:
    client = await api.client()
    single = "/" + "/".join(part for part in path.split("/") if part)
    response = await exchange(
        client, f"GET {path} HTTP/1.1\r\nHost: x\r\nCookie: session_id={token_of(client)}\r\n"
    )
    assert response.startswith(b"HTTP/1.1 200 ")
    assert response.partition(b"\r\n\r\n")[2] == await (await client.get(single)).read()


async def test_superfluous_slashes_do_not_bypass_access_checks(api: Api) -> None:
    anonymous, viewer = await api.client(None), await api.client("viewer")
    for path in ("/api//", "/api//firmware", "/api//nope"):
        assert (await exchange(anonymous, f"GET {path} HTTP/1.1\r\nHost: x\r\n")).startswith(
            b"HTTP/1.1 401 "
        )
    cookie = f"Cookie: session_id={token_of(viewer)}\r\n"
    for line, status in [
        ("POST /api//firmware/fetch", 403),
        ("PUT /api//firmware/fetch", 405),
        ("GET /api//nope", 404),
        ("GET //nope", 404),
    ]:
        response = await exchange(viewer, f"{line} HTTP/1.1\r\nHost: x\r\n{cookie}")
        assert response.startswith(f"HTTP/1.1 {status} ".encode()), line
    assert b"\r\nAllow: GET, HEAD, POST\r\n" in await exchange(
        viewer, f"PUT /api//firmware/fetch HTTP/1.1\r\nHost: x\r\n{cookie}"
    )


async def test_header_fields_of_public_clients_are_accepted(api: Api) -> None:
    client = await api.client()
    for headers in (
        {"Content-Type": "application/json"},
        {"Accept": "application/octet-stream"},
        basic("admin", PASSWORD),
        basic("admin", "something else"),
    ):
        for method, path, status in (("GET", FETCH, 200), ("DELETE", f"{FETCH}/x", 404)):
            response = await client.request(method, path, headers=headers)
            assert response.status == status, headers
            assert response.content_type == "application/json"


async def test_the_methods_of_log_in(api: Api) -> None:
    client = await api.client(None)
    methods = await (await client.get("/api/authentication/login_methods")).json()
    assert methods == {
        "login_methods": [{"name": "local", "type": "basic"}],
        "meta": {"href": "/api/authentication/login_methods", "parent": "/api/authentication"},
    }
    types = await (await client.get("/api/authentication/types")).json()
    assert types == {
        "types": ["basic"],
        "meta": {"href": "/api/authentication/types", "parent": "/api/authentication"},
    }


async def test_the_user_info(api: Api) -> None:
    for name, methods in (("admin", ["POST", "GET"]), ("viewer", ["GET"])):
        client = await api.client(name)
        document = await (await client.get("/api/user_info")).json()
        assert set(document) == {"user", "endpoints", "meta"}
        assert document["user"] == {"name": name}
        assert document["meta"] == {"href": "/api/user_info"}
        assert {"methods": methods, "url": FETCH} in document["endpoints"]
        for alias in ("/api/user/info", "/api/userinfo", "/api/endpoints"):
            assert await (await client.get(alias)).json() == document
    anonymous = await api.client(None)
    assert (await anonymous.get("/api/user_info")).status == 401


async def test_100_continue_is_sent_after_the_session_is_checked(api: Api) -> None:
    anonymous, client = await api.client(None), await api.client()
    head = f"POST {FETCH} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n"
    response = await exchange(anonymous, head)
    assert response.startswith(b"HTTP/1.1 401 ")
    cookie = f"Cookie: session_id={token_of(client)}\r\n"
    response = await exchange(client, head + cookie, b"{}")
    assert response.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 400 ")
    http_1_0 = await exchange(client, head.replace("HTTP/1.1", "HTTP/1.0") + cookie, b"{}")
    assert http_1_0.startswith(b"HTTP/1.0 400 ")


async def test_another_expectation_is_refused(api: Api) -> None:
    client = await api.client()
    response = await client.get(FETCH, headers={"Expect": "a-miracle"})
    assert response.status == 417
    assert (await response.json())["error"]["type"] == "ExpectationFailed"
