"""Log-in, the cookie and its expiry."""

import base64
import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsd.accounts.model import FREE_FAILURES
from spsd.errors import UnauthenticatedError
from spsd.web.api.authentication import basic_credentials
from tests.web.conftest import IDLE_S, PASSWORD, Api, basic

LOG_IN = "/api/authentication"
FETCH = "/api/firmware/fetch"


def _encoded(credentials: bytes) -> str:
    return f"Basic {base64.b64encode(credentials).decode()}"


async def test_the_response_and_the_cookie(api: Api) -> None:
    client = await api.client(None)
    response = await client.get(
        LOG_IN, params={"login_method": "local"}, headers=basic("admin", PASSWORD)
    )
    assert await response.json() == {"meta": {"href": LOG_IN, "parent": "/api"}}
    cookie = response.cookies["session_id"]
    assert re.fullmatch(r"[0-9a-f]{40}", cookie.value)
    assert (cookie["path"], cookie["max-age"]) == ("/", str(IDLE_S))
    assert cookie["httponly"]
    assert cookie["samesite"] == "Strict"
    rows = await api.database.rows("SELECT token_hash FROM session")
    assert all(cookie.value not in row[0] for row in rows)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Basic"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic /w=="},
        {"Authorization": "Basic YWRtaW4="},
        {"Authorization": "Bearer abc"},
        basic("admin", "wrong password"),
        basic("nobody", PASSWORD),
    ],
)
async def test_wrong_credentials(api: Api, headers: dict[str, str]) -> None:
    client = await api.client(None)
    response = await client.get(LOG_IN, headers=headers)
    assert response.status == 401
    assert (await response.json())["error"]["type"] == "Unauthenticated"
    assert response.headers["WWW-Authenticate"].startswith("Basic ")
    assert "session_id" not in response.cookies


async def test_other_requests_ignore_basic_credentials(api: Api) -> None:
    anonymous = await api.client(None)
    assert (await anonymous.get(FETCH, headers=basic("admin", PASSWORD))).status == 401
    client = await api.client()
    assert (await client.get(FETCH, headers=basic("admin", PASSWORD))).status == 200


async def test_a_session_survives_a_restart(api: Api) -> None:
    first = await api.client()
    token = first.session.cookie_jar.filter_cookies(first.make_url("/"))["session_id"].value
    await api.start()
    second = await api.client(None)
    response = await second.get(FETCH, headers={"Cookie": f"session_id={token}"})
    assert response.status == 200


async def test_a_session_expires_when_it_is_idle(api: Api) -> None:
    client = await api.client()
    for _ in range(3):
        api.clock.seconds += IDLE_S - 1
        response = await client.get(FETCH)
        assert response.status == 200
        assert response.cookies["session_id"]["max-age"] == str(IDLE_S)
    api.clock.seconds += IDLE_S
    token = response.cookies["session_id"].value
    response = await client.get(FETCH, headers={"Cookie": f"session_id={token}"})
    assert response.status == 401


async def test_the_cookie_does_not_outlast_the_session(api: Api) -> None:
    client, begun = await api.client(), api.clock.seconds
    longest_s = api.settings.server.session_hours * 3600
    for elapsed in [*range(IDLE_S - 1, longest_s, IDLE_S - 1), longest_s - 1]:
        api.clock.seconds = begun + elapsed
        response = await client.get(FETCH)
        expected = min(IDLE_S, longest_s - elapsed)
        assert response.cookies["session_id"]["max-age"] == str(expected)
    token = response.cookies["session_id"].value
    api.clock.seconds = begun + longest_s
    response = await client.get(FETCH, headers={"Cookie": f"session_id={token}"})
    assert response.status == 401


async def test_log_out(api: Api) -> None:
    client = await api.client()
    token = client.session.cookie_jar.filter_cookies(client.make_url("/"))["session_id"].value
    response = await client.delete(LOG_IN)
    assert response.status == 200
    response = await client.get(FETCH, headers={"Cookie": f"session_id={token}"})
    assert response.status == 401


async def test_a_new_password_ends_every_session(api: Api) -> None:
    client = await api.client()
    await api.accounts.set_password("admin", "another password")
    assert (await client.get(FETCH)).status == 401


async def test_a_long_name_is_not_remembered_in_full(api: Api) -> None:
    client = await api.client(None)
    for number in range(FREE_FAILURES):
        fields = basic("a" * 4000 + str(number), "wrong")
        assert (await client.get(LOG_IN, headers=fields)).status == 401
    response = await client.get(LOG_IN, headers=basic("a" * 4000, "wrong"))
    assert response.status == 429, "they have their beginning in common"


async def test_log_in_is_blocked_after_failures(api: Api) -> None:
    client = await api.client(None)
    for _ in range(FREE_FAILURES):
        assert (await client.get(LOG_IN, headers=basic("admin", "wrong"))).status == 401
    response = await client.get(LOG_IN, headers=basic("admin", PASSWORD))
    assert response.status == 429
    assert (await response.json())["error"]["type"] == "TooManyAttempts"
    wait = int(response.headers["Retry-After"])
    other = await client.get(LOG_IN, headers=basic("viewer", PASSWORD))
    assert other.status == 200, "another user is not blocked"
    api.clock.seconds += wait
    assert (await client.get(LOG_IN, headers=basic("admin", PASSWORD))).status == 200


@given(st.text(max_size=30) | st.binary(max_size=30).map(_encoded) | st.just("Basic \udcff"))
def test_any_field_has_credentials_or_is_refused(field: str) -> None:
    with suppress(UnauthenticatedError):
        name, password = basic_credentials(field)
        assert ":" not in name
        assert f"{name}:{password}".encode() == base64.b64decode(field.split()[1])
