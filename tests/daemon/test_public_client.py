"""The calls of the public client in its order: sections 2 to 12 of the facts.

As that client does: the Basic header beside the cookie on every call, JSON as the content type even
without a body, ``charset=utf-8``, the root at ``/api//``, and no log-in after the reboot.
"""

import hashlib
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from testbed.driver import PASSWORD, USER, Daemon, running
from testbed.iso import build_iso
from tests.web.conftest import basic

JSON = {"Content-Type": "application/json; charset=utf-8", "Accept": "application/json"}


class PublicClient:
    """A client with one cookie jar, which it keeps over restarts of the daemon."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self.session = aiohttp.ClientSession(
            cookie_jar=aiohttp.CookieJar(unsafe=True), headers=JSON | basic(USER, PASSWORD)
        )

    async def call(self, method: str, path: str, **more: object) -> dict:
        url = self._daemon.url + path
        async with self.session.request(method, url, **more) as response:
            document = await response.json()
            assert response.status == 200, document
            assert response.headers["Content-Language"] == "en"
            assert method in response.headers["Allow"]
            return document


async def test_from_log_in_to_the_new_version(tmp_path: Path) -> None:
    old = build_iso(tmp_path / "old.iso", version="2.4.0")
    new = build_iso(tmp_path / "new.iso", version="2.5.0", payload=b"news" * 100_000)
    marker = tmp_path / "rebooted"
    reboot = {"reboot_command": ["/usr/bin/touch", str(marker)]}
    async with running(tmp_path, boot_id="first", booted_slot=1, upgrade=reboot) as daemon:
        client = PublicClient(daemon)
        try:
            methods = await client.call("GET", "/api/authentication/login_methods")
            assert [method["name"] for method in methods["login_methods"]] == ["local"]
            opened = await client.call("GET", "/api/authentication?login_method=local")
            assert "meta" in opened
            cookie = client.session.cookie_jar.filter_cookies(URL(daemon.url))["session_id"].value
            root = await client.call("GET", "/api//")
            assert {"firmware", "info"} <= {item["key"] for item in root["items"]}
            await upload(client, old)

            info = await client.call("GET", "/api/info")
            assert info["body"]["firmware_version"] == "2.4.0"
            slots = await client.call("GET", "/api/firmware/slots")
            assert slots["meta"]["number_of_empty_slots"] == 4

            uploaded = await upload(client, new)
            assert uploaded["body"]["version"] == "2.5.0"
            slot_id = int(uploaded["key"])
            assert slot_id == 2
            for path in (uploaded["meta"]["test"], uploaded["meta"]["upgrade"]):
                done = await client.call("POST", path, json={"slot_id": slot_id})
                assert done["key"] == str(slot_id)
                assert done["meta"]["slot"] == uploaded["meta"]["slot"]
                assert hashlib.sha256(new.read_bytes()).hexdigest() in done["body"]["test_summary"]
            await until_exists(marker, client)
            assert await version(client) == "2.4.0", "the appliance has not been rebooted yet"

            # The reboot: the daemon ends with the old kernel and starts with the new one, whose
            # command line names no slot. The client continues with its old cookie.
            await daemon.stop()
            daemon.boot_id, daemon.booted_slot = "second", None
            port = urlsplit(daemon.url).port
            daemon.config.write_text(
                daemon.config.read_text().replace("port = 0", f"port = {port}")
            )
            await daemon.start()
            while await version(client) != "2.5.0":
                pass
            again = client.session.cookie_jar.filter_cookies(URL(daemon.url))["session_id"].value
            assert again == cookie
            slots = await client.call("GET", "/api/firmware/slots")
            assert slots["meta"]["current_slot"] == uploaded["meta"]["slot"]
            bodies = [item["body"] for item in slots["items"]]
            assert [body.get("current") for body in bodies] == [False, True, None, None, None]
        finally:
            await client.session.close()


async def upload(client: PublicClient, image: Path) -> dict:
    """Upload the ISO as the body, with the client's ``Accept`` header that does not fit."""
    headers = {"Content-Type": "application/x-iso9660-image", "Accept": "application/octet-stream"}
    with image.open("rb") as file:
        return await client.call("POST", "/api/upload/firmware", data=file, headers=headers)


async def version(client: PublicClient) -> str | None:
    return (await client.call("GET", "/api/info"))["body"]["firmware_version"]


async def until_exists(path: Path, client: PublicClient) -> None:
    """Poll the API until ``path`` exists, as the client does."""
    while not path.exists():
        await version(client)
