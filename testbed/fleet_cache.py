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


COUNTS = '    log_format asked \'$status "$http_range" "$http_if_range"\';\n'
"""How the servers of the other tests log; here each line is the bytes of a body."""


@dataclass(frozen=True)
class Served:
    """One nginx, and what it has sent."""

    server: Server

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server.port}{path}"

    def bytes_sent(self) -> int:
        """Of bodies, by its access log."""
        return sum(int(line) for line in self.server.log())

    def requests(self) -> int:
        return len(self.server.log())


@contextmanager
def origin() -> Iterator[Served]:
    """nginx with files."""
    with serving(replace(KINDS["nginx"], configuration=counting(NGINX))) as server:
        yield Served(server)


@contextmanager
def cache(behind: str) -> Iterator[Served]:
    """nginx with the documented configuration, whose origin is the URL ``behind``."""
    block = documented()
    for there, here in {
        "/var/cache/nginx/firmware": "<<directory>>/cache",
        "listen 8080": "listen 127.0.0.1:<<port>>",
        "https://images.example.org": behind,
    }.items():
        assert block.count(there) == 1, there
        block = block.replace(there, here)
    block = block.replace("{", "{{").replace("}", "}}").replace("<<", "{").replace(">>", "}")
    before = counting(NGINX).partition("    server {{")[0]
    with serving(replace(KINDS["nginx"], configuration=f"{before}{block}}}}}\n")) as server:
        yield Served(server)


def documented() -> str:
    """The configuration that docs/fleet.md has."""
    [block] = re.findall(r"^```nginx\n(.*?)^```", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)
    return str(block)


def counting(configuration: str) -> str:
    assert configuration.count(COUNTS) == 1
    return configuration.replace(COUNTS, "    log_format asked '$body_bytes_sent';\n")
