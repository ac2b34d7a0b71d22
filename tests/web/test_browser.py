"""The files for browsers: they need no session, and their policy restricts the browser."""

import hashlib
import re
from importlib.resources import files

import pytest

import spsd.web
from spsd.web.browser import DASHBOARD_OPERATIONS, DESCRIPTION_OPERATIONS
from tests.web.conftest import Api

UI = files(spsd.web).joinpath("ui")
SWAGGER = files(spsd.web).joinpath("swagger")
PAGES = [operation.path for operation in (*DASHBOARD_OPERATIONS, *DESCRIPTION_OPERATIONS[1:])]


@pytest.mark.parametrize("path", PAGES)
async def test_a_file_needs_no_session_and_has_its_policy(api: Api, path: str) -> None:
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


def test_every_file_is_served_and_loaded() -> None:
    served = {row.path.removeprefix("/ui/") for row in DASHBOARD_OPERATIONS} - {"/"} | {
        "index.html"
    }
    assert {file.name for file in UI.iterdir()} == served
    text = "".join(file.read_text() for file in UI.iterdir())
    for name in served - {"index.html"}:
        assert re.search(rf"[./]/?{re.escape(name)}[\"']", text), name


def test_the_dashboard_loads_nothing_from_other_hosts_and_has_no_inline_code() -> None:
    page = UI.joinpath("index.html").read_text()
    assert re.findall(r"(?:src|href)=\"(?!/|data:,)", page) == []
    assert re.findall(r"<style|<script(?! type=\"module\" src=)| on\w+=| style=", page) == []
    for script in UI.iterdir():
        assert "innerHTML" not in script.read_text(), "texts must be set with textContent"


def test_the_files_of_swagger_ui_are_unchanged() -> None:
    """``scripts/swagger`` installs another version; the files are never edited."""
    sums = dict(
        reversed(line.split("  "))
        for line in SWAGGER.joinpath("SHA256SUMS").read_text().splitlines()
        if not line.startswith("#")
    )
    assert sums.keys() == {"swagger-ui-bundle.js", "swagger-ui.css"}
    for name, digest in sums.items():
        assert hashlib.sha256(SWAGGER.joinpath(name).read_bytes()).hexdigest() == digest


def test_the_page_of_the_api_loads_only_served_files() -> None:
    page = SWAGGER.joinpath("index.html").read_text()
    loaded = re.findall(r"(?:src|href)=\"(/[^\"]*)\"", page)
    assert set(loaded) == set(PAGES[len(DASHBOARD_OPERATIONS) + 1 :]) | {"/api/openapi.json"}
    assert re.findall(r"<style|<script(?! src=)| on\w+=| style=", page) == []


async def test_a_failed_log_in_of_a_script_opens_no_password_dialog(api: Api) -> None:
    client = await api.client(None)
    wrong = {"Authorization": "Basic eDp5"}
    for fields, challenge in (({}, "Basic"), ({"X-Requested-With": "fetch"}, "Cookie")):
        response = await client.get("/api/authentication", headers=wrong | fields)
        assert response.status == 401
        assert response.headers["WWW-Authenticate"].startswith(challenge)
