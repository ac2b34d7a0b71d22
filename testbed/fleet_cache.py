"""A real nginx with the configuration of docs/fleet.md, in front of a real origin."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from testbed.fleet_site import ROOT
from testbed.servers import KINDS, NGINX, Server, serving

DOCUMENT = ROOT / "docs" / "fleet.md"


def available() -> bool:
    return KINDS["nginx"].path is not None


LOG_FORMAT = '    log_format requests \'$status "$http_range" "$http_if_range"\';\n'
"""The log format of the servers of other tests; here each line is the number of body bytes."""


@dataclass(frozen=True)
class CountingServer:
    """An nginx whose access log counts the bytes of bodies."""

    server: Server

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server.port}{path}"

    def bytes_sent(self) -> int:
        """The bytes of all bodies so far, by the access log."""
        return sum(int(line) for line in self.server.log())

    def requests(self) -> int:
        return len(self.server.log())


@contextmanager
def origin() -> Iterator[CountingServer]:
    """An nginx that serves files."""
    with serving(replace(KINDS["nginx"], configuration=counting(NGINX))) as server:
        yield CountingServer(server)


@contextmanager
def cache(origin_url: str) -> Iterator[CountingServer]:
    """An nginx with the documented configuration as a cache for ``origin_url``."""
    block = documented()
    for documented_text, test_text in {
        "/var/cache/nginx/firmware": "<<directory>>/cache",
        "listen 8080": "listen 127.0.0.1:<<port>>",
        "https://images.example.org": origin_url,
    }.items():
        assert block.count(documented_text) == 1, documented_text
        block = block.replace(documented_text, test_text)
    block = block.replace("{", "{{").replace("}", "}}").replace("<<", "{").replace(">>", "}")
    before = counting(NGINX).partition("    server {{")[0]
    with serving(replace(KINDS["nginx"], configuration=f"{before}{block}}}}}\n")) as server:
        yield CountingServer(server)


def documented() -> str:
    """The nginx configuration in docs/fleet.md."""
    [block] = re.findall(r"^```nginx\n(.*?)^```", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)
    return str(block)


def counting(configuration: str) -> str:
    """The configuration with a log format that has only the number of body bytes."""
    assert configuration.count(LOG_FORMAT) == 1
    return configuration.replace(LOG_FORMAT, "    log_format requests '$body_bytes_sent';\n")
