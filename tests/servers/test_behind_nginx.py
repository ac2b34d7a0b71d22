"""spsd behind a real nginx, with the configuration in docs/operating.md."""

import base64
import http.client
import re
import ssl
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from spsd.system.certificate import ensure_self_signed
from spsd.testing.client import Client
from spsd.testing.daemon import PASSWORD, USER, DaemonProcess
from testbed import needs
from testbed.servers import KINDS, NGINX, serving

DOCS = Path(__file__).parents[2] / "docs"
FETCH = "/api/firmware/fetch"

pytestmark = needs.program("nginx")


@dataclass(frozen=True)
class Behind:
    daemon: DaemonProcess
    url: str
    context: ssl.SSLContext

    def client(self) -> Client:
        """Logged in through the proxy."""
        client = Client(self.url, context=self.context)
        assert client.log_in(USER, PASSWORD).status == 200
        return client


@pytest.fixture
def trusted() -> list[str]:
    """The proxies that the daemon trusts."""
    return []


@pytest.fixture
def behind(tmp_path: Path, trusted: list[str]) -> Iterator[Behind]:
    text = (DOCS / "operating.md").read_text(encoding="utf-8")
    match = re.search(r"^```nginx\n(server \{.*?^\}\n)```", text, re.DOTALL | re.MULTILINE)
    assert match is not None
    block = match[1]
    pair = ensure_self_signed(tmp_path, hostname="localhost")
    settings = {"slots": {"accept": "any"}, "server": {"trusted_proxies": trusted}}
    with DaemonProcess(tmp_path, settings) as daemon:
        for documented, actual in {
            "listen 443 ssl": "listen 127.0.0.1:{port} ssl",
            "/etc/nginx/appliance.pem": f"{{directory}}/{pair[0].name}",
            "/etc/nginx/appliance.key": f"{{directory}}/{pair[1].name}",
            "http://127.0.0.1:8443": daemon.url,
        }.items():
            assert block.count(documented) == 1, documented
            block = block.replace(documented, f"<<{actual}>>")
        block = block.replace("{", "{{").replace("}", "}}")
        block = re.sub(r"<<(.*?)>>", lambda m: m[1].replace("{{", "{").replace("}}", "}"), block)
        before = NGINX.partition("    server {{")[0]
        kind = replace(KINDS["nginx"], configuration=f"{before}{block}}}}}\n")
        with serving(kind, keys=pair) as nginx:
            context = ssl.create_default_context(cafile=pair[0])
            yield Behind(daemon, f"https://localhost:{nginx.port}", context)


def test_a_session_through_the_proxy(behind: Behind) -> None:
    client = behind.client()
    request = {"url": "http://127.0.0.1:1/none", "checksum": {"sha256": "a" * 64}}
    submitted = client.call("POST", FETCH, json_body=request, headers={"Origin": behind.url})
    assert submitted.status == 202, "with the Origin of a page of this site"
    elsewhere = {"Origin": "https://elsewhere.example"}
    assert client.call("POST", FETCH, json_body=request, headers=elsewhere).status == 403
    [item] = client.call("GET", FETCH).document["items"]
    assert item["key"] == submitted.document["key"]


def test_an_upload_through_the_proxy(behind: Behind) -> None:
    image = b"image" * 2_000_000
    headers = {"Content-Type": "application/octet-stream"}
    uploaded = behind.client().call("POST", "/api/upload/firmware", content=image, headers=headers)
    assert uploaded.status == 200, uploaded.content
    assert behind.daemon.slot_image(1).read_bytes() == image


def test_events_are_not_held_back(behind: Behind) -> None:
    client = behind.client()
    connection = client._connection()
    try:
        fields = {"Cookie": client.cookie or "", "Accept": "text/event-stream"}
        connection.request("GET", FETCH, headers=fields)
        stream = connection.getresponse()
        assert stream.status == 200
        assert b"event: snapshot" in until_blank(stream)
        request = {"url": "http://127.0.0.1:1/none", "checksum": {"sha256": "a" * 64}}
        assert client.call("POST", FETCH, json_body=request).status == 202
        assert b"event: download" in until_blank(stream)
    finally:
        connection.close()


def until_blank(stream: object) -> bytes:
    """The lines of one event."""
    lines = []
    while (line := stream.readline()).strip():
        lines.append(line)
    return b"".join(lines)


def test_the_metrics_require_authentication(behind: Behind) -> None:
    anonymous = Client(behind.url, context=behind.context)
    assert anonymous.call("GET", "/metrics").status == 401
    assert behind.client().call("GET", "/metrics").status == 200


def test_the_page_and_its_parts_come_through(behind: Behind) -> None:
    anonymous = Client(behind.url, context=behind.context)
    page = anonymous.call("GET", "/")
    assert page.status == 200
    for part in re.findall(r'(?:src|href)="(/ui/[^"]+)"', page.content.decode()):
        assert anonymous.call("GET", part).status == 200, part


@pytest.mark.parametrize("trusted", [["127.0.0.1"], []], ids=["trusted", "not trusted"])
def test_a_trusted_proxy_states_the_scheme(behind: Behind, trusted: list[str]) -> None:
    # From an address that is no trusted proxy, as those of clients are.
    host = behind.url.rpartition("/")[2]
    elsewhere = http.client.HTTPSConnection(
        host, context=behind.context, source_address=("127.0.0.2", 0)
    )
    forged = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "http"}
    encoded = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    fields = forged | {"Authorization": f"Basic {encoded}"}
    with closing(elsewhere):
        elsewhere.request("GET", "/api/authentication", headers=fields)
        login = elsewhere.getresponse()
        assert login.status == 200
        assert ("; Secure" in (login.getheader("Set-Cookie") or "")) is bool(trusted)
    audit = re.findall(r"spsd\.audit: log-in address=(\S+)", behind.daemon.log.read_text())
    assert audit == ["127.0.0.2" if trusted else "127.0.0.1"]

    plain = {"Origin": behind.url.replace("https:", "http:")}
    request = {"url": "http://127.0.0.1:1/none", "checksum": {"sha256": "a" * 64}}
    submitted = behind.client().call("POST", FETCH, json_body=request, headers=plain)
    assert submitted.status == (403 if trusted else 202)


@pytest.mark.parametrize("trusted", [["127.0.0.1"]])
def test_the_appliance_itself_may_read_the_metrics_through_a_trusted_proxy(behind: Behind) -> None:
    anonymous = Client(behind.url, context=behind.context)
    assert anonymous.call("GET", "/metrics").status == 200
