"""The files that browsers load: who gets them, and what a browser may do with them."""

import hashlib
import re
from importlib.resources import files

import pytest

import spsd.web
from spsd.web.browser import DASHBOARD_OPERATIONS, DESCRIPTION_OPERATIONS
from tests.web.conftest import Api

UI = files(spsd.web).joinpath("ui")
SWAGGER = files(spsd.web).joinpath("swagger")
PAGES = [one.path for one in (*DASHBOARD_OPERATIONS, *DESCRIPTION_OPERATIONS[1:])]


@pytest.mark.parametrize("path", PAGES)
async def test_a_stranger_gets_the_page_and_its_policy(api: Api, path: str) -> None:
    client = await api.client(None)
    response = await client.get(path)
    assert response.status == 200
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["Cache-Control"] == "no-cache"


def test_every_file_is_served_and_each_is_asked_for() -> None:
    served = {one.path.removeprefix("/ui/") for one in DASHBOARD_OPERATIONS} - {"/"} | {
        "index.html"
    }
    assert {one.name for one in UI.iterdir()} == served
    text = "".join(one.read_text() for one in UI.iterdir())
    for name in served - {"index.html"}:
        assert re.search(rf"[./]/?{re.escape(name)}[\"']", text), name


def test_the_page_has_nothing_of_other_hosts_and_nothing_in_line() -> None:
    page = UI.joinpath("index.html").read_text()
    assert re.findall(r"(?:src|href)=\"(?!/|data:,)", page) == []
    assert re.findall(r"<style|<script(?! type=\"module\" src=)| on\w+=| style=", page) == []
    for script in UI.iterdir():
        assert "innerHTML" not in script.read_text(), "text comes as text"


def test_swagger_ui_is_as_npm_has_it() -> None:
    """scripts/swagger takes another version; nobody edits these files."""
    sums = dict(
        reversed(line.split("  "))
        for line in SWAGGER.joinpath("SHA256SUMS").read_text().splitlines()
        if not line.startswith("#")
    )
    assert sums.keys() == {"swagger-ui-bundle.js", "swagger-ui.css"}
    for name, digest in sums.items():
        assert hashlib.sha256(SWAGGER.joinpath(name).read_bytes()).hexdigest() == digest


def test_the_page_of_the_api_loads_what_is_served() -> None:
    page = SWAGGER.joinpath("index.html").read_text()
    loaded = re.findall(r"(?:src|href)=\"(/[^\"]*)\"", page)
    assert set(loaded) == set(PAGES[len(DASHBOARD_OPERATIONS) + 1 :]) | {"/api/openapi.json"}
    assert re.findall(r"<style|<script(?! src=)| on\w+=| style=", page) == []


async def test_a_script_that_logs_in_is_told_and_its_user_not_asked(api: Api) -> None:
    client = await api.client(None)
    wrong = {"Authorization": "Basic eDp5"}
    for more, challenge in (({}, "Basic"), ({"X-Requested-With": "fetch"}, "Cookie")):
        response = await client.get("/api/authentication", headers=wrong | more)
        assert response.status == 401
        assert response.headers["WWW-Authenticate"].startswith(challenge)
