"""scripts/bench: a tiny instance of every measurement, and the calculation of its figures."""

import asyncio
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from scripts.programs.bench import tools
from scripts.programs.bench.appliance import poll_interval
from scripts.programs.bench.downloads import report
from scripts.programs.bench.goals import GOALS, table, verdict, verdicts
from scripts.programs.bench.load import flat_out, paced
from scripts.programs.bench.peers import NAMES, Peer, peers
from scripts.programs.bench.rounds import run_rounds
from scripts.programs.bench.run import PARTS
from scripts.programs.bench.samples import (
    BenchError,
    Sample,
    Series,
    measure_command,
    percentile,
)
from scripts.programs.bench.scale import QUICK, WHOLE
from scripts.programs.bench.wan import relaying
from scripts.programs.bench.workspace import Source, Workspace, file_system, make_object
from spsd.testing.origin import Origin
from testbed import needs

ROOT = Path(__file__).resolve().parents[2]
needs_nginx = needs.program("nginx")


@needs_nginx
@pytest.mark.timeout(180)
def test_a_small_instance_of_everything(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    directory = tmp_path / "directory"
    done = subprocess.run(
        [
            *(ROOT / "scripts" / "bench", "--all", "--quick", "--no-install"),
            *("--directory", directory, "--json", figures),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(figures.read_text(encoding="utf-8"))
    assert set(document) == {"facts", "parts", "goals"}
    assert len(document["parts"]) == len(PARTS)
    unmeasured = [goal["measure"] for goal in document["goals"] if goal["met"] is None]
    assert unmeasured == []
    for line in ("| spsd |", "| floor |", "| spsd-x4 |", "| 32 clients |", "| 200 |", "## Goals"):
        assert line in done.stdout
    assert all(goal.measure in done.stdout for goal in GOALS)
    assert list(directory.iterdir()) == []


@needs_nginx
def test_missing_tools_and_unmeasured_goals_are_reported(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(ROOT / "scripts" / "bench", "--quick", "--no-install", "--only", "floor"),
            *("--directory", tmp_path),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "bench: httpx is left out: it is not installed" in done.stderr
    assert "| spsd |" not in done.stdout
    assert done.stdout.count("not measured in this run") == len(GOALS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "spsd,netcat"], "unknown contenders: netcat"),
        (["--size", "large"], "not a size such as 8M or 1.5G: large"),
        (["--rounds", "0"], "not a number of rounds: 0"),
        (["--write"], "--write requires the whole benchmark"),
        (["--write", "--all", "--quick"], "--write requires the whole benchmark"),
    ],
)
def test_wrong_arguments_are_refused(arguments: list[str], message: str) -> None:
    done = subprocess.run(
        [ROOT / "scripts" / "bench", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_ratios_are_of_medians_and_the_fastest_peer_is_no_floor() -> None:
    def series(*walls: float) -> Series:
        return Series([Sample(wall, 2 * wall, 10 * wall) for wall in walls])

    part = report(
        "http",
        QUICK,
        {
            "curl+sha256sum": series(8, 4, 100),
            "urllib3": series(4),
            "floor": series(1),
            "spsd": series(2, 2, 3),
        },
    )
    assert part.figures == {
        "http peak": 20,
        "http wall/curl+sha256sum": 0.25,
        "http cpu/curl+sha256sum": 0.25,
        "http wall/fastest": 0.5,
        "http cpu/fastest": 0.5,
        "http wall/floor": 2,
        "http cpu/floor": 2,
    }
    assert part.notes == ["The fastest peer is urllib3."]
    (ratios,) = part.tables
    assert ratios.rows[0][:3] == ["curl+sha256sum", "8.00", "4.00 to 100.00"]


def test_every_goal_has_a_verdict() -> None:
    assert verdict(GOALS[0], 0.3) == "met"
    assert verdict(GOALS[0], 0.36) == "**missed by 20%**"
    at_least = next(goal for goal in GOALS if goal.sense == "≥")
    assert verdict(at_least, at_least.limit) == "met"
    assert verdict(at_least, at_least.limit / 2) == "**missed by 50%**"
    assert len({goal.figure for goal in GOALS}) == len(GOALS)
    assert [goal["met"] for goal in verdicts({})] == [None] * len(GOALS)
    assert len(table({}).rows) == len(GOALS)


def test_a_partial_is_smaller_than_the_object() -> None:
    assert WHOLE.with_(size=None, rounds=None) == WHOLE
    small = WHOLE.with_(size=150, rounds=2)
    assert (small.size, small.rounds, small.partial) == (150, 2, 100)


@pytest.mark.parametrize(
    ("percent", "expected"), [(50, 2), (99, 4), (100, 4), (25, 1), (1, 1), (75, 3)]
)
def test_percentiles_are_measured_values(percent: float, expected: float) -> None:
    assert percentile([4, 2, 3, 1], percent) == expected


@pytest.mark.parametrize(
    ("done", "elapsed", "expected"),
    [(0, 5.0, 0.01), (10, 0.1, 0.2), (90, 0.9, 0.05), (100, 1.0, 0.01)],
)
def test_the_daemon_is_polled_often_only_near_the_end(
    done: int, elapsed: float, expected: float
) -> None:
    assert poll_interval(done, 100, elapsed) == pytest.approx(expected)


async def test_a_command_is_measured_whole(tmp_path: Path) -> None:
    """CPU time includes the children; peak memory does not include the process that started it."""
    work = "sum(i * i for i in range(1_000_000)); bytearray(50_000_000)"
    command = ["sh", "-c", '"$0" -c "$1"; true', sys.executable, work]
    sample = await measure_command(command, tmp_path, {"PATH": "/usr/bin:/bin"})
    assert sample.cpu_s > 0.01
    assert sample.cpu_s < sample.wall_s * 1.5
    assert 48 < sample.peak_mib < 90


async def test_a_command_that_fails_is_an_error(tmp_path: Path) -> None:
    command = ["sh", "-c", "echo 'no such thing' >&2; exit 3"]
    with pytest.raises(BenchError, match=r"exit status 3: no such thing$"):
        await measure_command(command, tmp_path, {"PATH": "/usr/bin:/bin"})


async def test_a_peer_that_fails_is_excluded(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The second peer leaves a wrong object; the third fails in the second round only."""
    sha256 = make_object(tmp_path / "objects" / "object", 1000)
    source = Source(str(tmp_path / "objects" / "object"), sha256, 1000)
    scripts = {
        "good": 'cp "$1" object',
        "wrong": "head -c 1000 /dev/zero > object",
        "once": f'test ! -e {tmp_path}/once || exit 3; touch {tmp_path}/once; cp "$1" object',
    }
    contenders = [
        Peer(name, lambda source, script=script: ["sh", "-c", script, "sh", source.url])
        for name, script in scripts.items()
    ]
    series = await run_rounds(Workspace(tmp_path), contenders, source, rounds=2, title="test")
    assert {name: len(taken.samples) for name, taken in series.items()} == {"good": 2}
    messages = capfd.readouterr().err
    assert "bench: wrong is excluded: wrong: object is not the requested object" in messages
    assert "bench: once is excluded: " in messages


async def test_the_relay_delays_and_limits_but_changes_no_byte(tmp_path: Path) -> None:
    content = make_bytes(tmp_path, 300_000)
    async with Origin({"/object": content}) as origin:
        port = int(origin.url("/").split(":")[-1].strip("/"))
        async with relaying(port, replace(QUICK, wan_rate=1_000_000, wan_delay_s=0.05)) as far:
            began = asyncio.get_running_loop().time()
            async with (
                aiohttp.ClientSession() as client,
                client.get(f"http://127.0.0.1:{far}/object") as response,
            ):
                assert await response.read() == content
            # 0.3 s for the bytes, a round trip for the connection and one for the request.
            assert asyncio.get_running_loop().time() - began >= 0.3 + 4 * 0.05


def make_bytes(directory: Path, size: int) -> bytes:
    make_object(directory / "some", size)
    return (directory / "some").read_bytes()


@pytest.mark.parametrize("kind", ["with a compiler", "without"])
async def test_the_floor_verifies_what_it_wrote(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "without":
        monkeypatch.setenv("PATH", "/nowhere")
    command, language = tools.build_floor(tmp_path)
    if kind == "with a compiler" and language != "C":
        needs.skip("a C compiler and OpenSSL's headers (Debian: gcc libc6-dev libssl-dev)")
    assert (language == "C") == (kind == "with a compiler")
    size = 3 * 1024 * 1024 + 17
    sha256 = make_object(tmp_path / "object", size)
    content = (tmp_path / "object").read_bytes()
    assert len(content) == size
    assert hashlib.sha256(content).hexdigest() == sha256
    async with Origin({"/object": content}) as origin:
        port = origin.url("/").split(":")[-1].strip("/")
        download = [*command, "127.0.0.1", port, "/object", str(tmp_path / "result")]
        await measure_command([*download, sha256], tmp_path, {})
        assert (tmp_path / "result").read_bytes() == content
        with pytest.raises(BenchError, match="exit status 1"):
            await measure_command([*download, "0" * 64], tmp_path, {})


def test_the_clients_count_every_response() -> None:
    """Against a server of the standard library in a process of its own."""
    script = (
        "from http.server import *\n"
        "class Echo(BaseHTTPRequestHandler):\n"
        "    protocol_version = 'HTTP/1.1'\n"
        "    def do_GET(self):\n"
        "        self.send_response(200)\n"
        "        self.send_header('Content-Length', '300000')\n"
        "        self.end_headers()\n"
        "        self.wfile.write(bytes(300000))\n"
        "    def log_message(self, *_): pass\n"
        "server = ThreadingHTTPServer(('127.0.0.1', 0), Echo)\n"
        "print(server.server_port, flush=True)\n"
        "server.serve_forever()\n"
    )
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            load = flat_out(port, iter([request] * 20), clients=3, status=200)
            assert len(load.latencies_s) == 20
            sizes = []
            more: Callable[[int, bytes], bool] = lambda count, body: (  # noqa: E731
                sizes.append(len(body)) or count < 5
            )
            assert len(paced(port, request, interval_s=0, more=more).latencies_s) == 5
            assert sizes == [300000] * 5
            with pytest.raises(BenchError, match="the daemon responded with"):
                flat_out(port, iter([request]), clients=1, status=202)
        finally:
            server.terminate()


def test_the_file_system_of_a_directory(tmp_path: Path) -> None:
    assert file_system(Path("/proc/self")) == "proc"
    assert file_system(tmp_path) != "unknown"


def test_the_file_system_of_a_directory_in_a_chroot(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("proc /proc proc rw 0 0\n")
    assert file_system(Path("/proc/self"), mounts) == "proc"
    name = file_system(tmp_path, mounts)
    assert name
    assert not name.startswith("UNKNOWN")


def test_every_contender_has_its_name(tmp_path: Path) -> None:
    available = {peer.name for peer in peers(tmp_path / "nothing", ["floor"])}
    assert available <= set(NAMES)
    assert "floor" in available
