"""A real squid as a child process: two ports on loopback, one of which requires a password."""

import asyncio
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

BINARY = Path("/usr/sbin/squid")
USER, PASSWORD = "ann", "wörd: p@ss/"
NAME = "firmware.test"
"""A name that only the proxy can resolve; its address is 127.0.0.1."""
CLOSED = "closed.test"
"""A name that the proxy refuses to connect to."""

# squid passes user and password, percent-encoded where a line could break, and expects OK or ERR.
HELPER = """\
#!/bin/sh
while read -r user word; do
    if [ "$user" = '{user}' ] && [ "$word" = '{word}' ]; then echo OK; else echo ERR; fi
done
"""

CONFIG = """\
http_port 127.0.0.1:{open} name=open
http_port 127.0.0.1:{guarded} name=guarded
auth_param basic program {here}/helper
auth_param basic children 1
acl guarded myportname guarded
acl known proxy_auth REQUIRED
acl closed dstdomain {closed}
http_access deny closed
http_access deny guarded !known
http_access allow all
hosts_file {here}/hosts
dns_nameservers 127.0.0.1
dns_timeout 1 second
cache deny all
access_log stdio:{here}/log
cache_log {here}/cache.log
pid_filename none
netdb_filename none
coredump_dir {here}
pinger_enable off
logfile_rotate 0
shutdown_lifetime 0 seconds
connect_retries 0
max_filedescriptors 256
"""


@dataclass(frozen=True)
class Squid:
    """The ports of a running squid, and the lines of its access log so far."""

    open_port: int
    guarded_port: int
    log: int
    """The reading end of the pipe that squid writes its log to; each write is a line."""
    lines: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.open_port}"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.open_port}"

    def guarded(self, user: str = USER, password: str = PASSWORD) -> str:
        """The URL of the port that requires a password, with these credentials."""
        userinfo = f"{quote(user, safe='')}:{quote(password, safe='')}"
        return f"http://{userinfo}@127.0.0.1:{self.guarded_port}"

    async def until_logged(self, request: str) -> None:
        """Return as soon as the access log has a line with `request`.

        squid logs a tunnel when it is closed, which is later than its last byte.

        Raises:
            TimeoutError: there is no such line within 20 seconds.
        """
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self.log, readable.set)
        try:
            async with asyncio.timeout(20):
                while not any(request in line for line in self.lines):
                    await readable.wait()
                    readable.clear()
                    # The event may be set again although the last read has emptied the pipe.
                    with suppress(BlockingIOError):
                        self.lines.extend(os.read(self.log, 65_536).decode().splitlines())
        finally:
            loop.remove_reader(self.log)


@contextmanager
def running_squid() -> Iterator[Squid]:
    """Start squid with both ports; it ends with the context."""
    # As root squid changes to another user, which may not enter pytest's directories.
    here = Path(tempfile.mkdtemp(prefix="spsd-squid-"))
    ports = _free_ports(2)
    text = CONFIG.format(here=here, open=ports[0], guarded=ports[1], closed=CLOSED)
    (here / "squid.conf").write_text(text)
    (here / "hosts").write_text(f"127.0.0.1 localhost {NAME}\n")
    helper = here / "helper"
    helper.write_text(HELPER.format(user=USER, word=quote(PASSWORD, safe=":@/")))
    helper.chmod(0o755)
    os.mkfifo(here / "log")
    log = os.open(here / "log", os.O_RDONLY | os.O_NONBLOCK)
    user: dict[str, int | list[int]] = {}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        for path in (here, *here.iterdir()):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
    process = subprocess.Popen(
        [BINARY, "-N", "-d", "1", "-f", here / "squid.conf"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=here,
        **user,
    )
    try:
        assert process.stderr is not None
        lines = []
        # squid reports each of its two ports in a line.
        while sum("Accepting" in line for line in lines) < 2:
            lines.append(process.stderr.readline())
            assert lines[-1], f"squid ended: {''.join(lines)}"
        yield Squid(*ports, log)
    finally:
        process.terminate()
        process.communicate()
        os.close(log)
        shutil.rmtree(here)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [bound.getsockname()[1] for bound in sockets]
    finally:
        for bound in sockets:
            bound.close()
