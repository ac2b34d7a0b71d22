"""slowhttptest (Debian) in its four modes against a daemon process, over TLS and plain HTTP."""

import asyncio
import re
from pathlib import Path

import pytest

from testbed import needs
from testbed.driver import FETCH, running
from testbed.hostile import probe
from testbed.needs import find_program

pytestmark = [needs.program("slowhttptest"), pytest.mark.timeout(180)]

SCRIPT = "/api/docs/swagger-ui-bundle.js"
"""The longest response that needs no session."""
MODES = {
    "slow headers": ("-H", "-i", "5"),
    "slow body": ("-B", "-i", "5", "-f", "application/json"),
    "ranges": ("-R",),
    "slow read": ("-X", "-w", "10", "-y", "20", "-n", "5", "-z", "32", "-k", "3"),
}
PATHS = {"slow headers": "/", "slow body": FETCH, "ranges": SCRIPT, "slow read": SCRIPT}
CONNECTIONS = 1000
LONGEST_MS = 1000
MEMORY_MIB = 200


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each mode over plain HTTP or over TLS, in turn; with ``--long`` over both."""
    both = [(mode, tls) for mode in MODES for tls in (False, True)]
    turns = [(mode, bool(number % 2)) for number, mode in enumerate(MODES)]
    chosen = both if metafunc.config.getoption("--long") else turns
    names = [f"{mode}-{'tls' if tls else 'plain'}" for mode, tls in chosen]
    metafunc.parametrize(("mode", "tls"), chosen, ids=names)


async def test_the_api_responds_during(mode: str, tls: bool, tmp_path: Path, tally) -> None:
    async with running(tmp_path, tls=tls) as daemon:
        program = find_program("slowhttptest")
        assert program is not None
        attack = await asyncio.create_subprocess_exec(
            program,
            *MODES[mode],
            *("-u", f"{daemon.url}{PATHS[mode]}", "-c", str(CONNECTIONS), "-r", "200"),
            *("-l", "10", "-p", "2", "-v", "1"),
            stdout=asyncio.subprocess.PIPE,
            cwd=tmp_path,
        )
        finished = asyncio.create_task(attack.communicate())
        durations_ms: list[float] = []
        while not finished.done():
            durations_ms += await probe(daemon, FETCH, times=5)
        output, _ = await finished
        plain = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", output.decode())
        available = re.findall(r"service available:\s+(YES|NO)", plain)
        assert available, plain
        assert set(available) == {"YES"}
        assert max(durations_ms) < LONGEST_MS
        assert daemon.memory_peak_mib() < MEMORY_MIB
        assert await daemon.stop() == 0
        tally("requests answered beside slowhttptest", len(durations_ms))
