"""A real squid as a process of ours: two ports on loopback, of which one asks for a password."""

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
"""A name that only the proxy can look up; it is 127.0.0.1."""
CLOSED = "closed.test"
"""A name that the proxy lets nobody reach."""

# squid hands on what it was sent, percent-encoded where a line could break, and wants OK or ERR.
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
    """A running squid: its address, and its log of finished requests."""

    open_port: int
    guarded_port: int
    log: int
    """The reading end of the pipe that it writes its log to; each write is a line."""
    log_lines: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.open_port}"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.open_port}"

    def guarded(self, user: str = USER, password: str = PASSWORD) -> str:
        userinfo = f"{quote(user, safe='')}:{quote(password, safe='')}"
        return f"http://{userinfo}@127.0.0.1:{self.guarded_port}"

    async def wait_for_log(self, request: str) -> None:
        """Return as soon as the log has a line with `request`.

        A tunnel is logged when it is closed, which is later than its last byte.
        """
        loop = asyncio.get_running_loop()
        there = asyncio.Event()
        loop.add_reader(self.log, there.set)
        try:
            async with asyncio.timeout(20):
                while not any(request in line for line in self.log_lines):
                    await there.wait()
                    there.clear()
                    # The loop may have seen twice what was read at once.
                    with suppress(BlockingIOError):
                        self.log_lines.extend(os.read(self.log, 65_536).decode().splitlines())
        finally:
            loop.remove_reader(self.log)


@contextmanager
def running_squid() -> Iterator[Squid]:
    # As root squid becomes another user, to whom pytest's own directories are closed.
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
    as_whom: dict[str, int | list[int]] = {}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        as_whom = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        for path in (here, *here.iterdir()):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
    process = subprocess.Popen(
        [BINARY, "-N", "-d", "1", "-f", here / "squid.conf"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=here,
        **as_whom,
    )
    try:
        assert process.stderr is not None
        output = []
        # A line for each port.
        while sum("Accepting" in line for line in output) < 2:
            output.append(process.stderr.readline())
            assert output[-1], f"squid ended: {''.join(output)}"
        yield Squid(*ports, log)
    finally:
        process.terminate()
        process.communicate()
        os.close(log)
        shutil.rmtree(here)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
