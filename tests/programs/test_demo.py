"""scripts/demo, as a new user runs it."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from testbed.waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]


def demo(tmp_path: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [ROOT / "scripts" / "demo", *arguments],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def is_running(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.timeout(180)
def test_the_demo_downloads_compares_and_cleans_up(tmp_path: Path) -> None:
    done = demo(tmp_path)
    assert done.returncode == 0, done.stderr
    assert '--data "@-"' in done.stdout
    assert "-c cookies.txt -u demo" in done.stdout
    assert "-X DELETE" in done.stdout
    assert '"status": "finished"' in done.stdout
    assert "\nequal\n" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.timeout(180)
def test_keep_leaves_the_daemon_running_and_prints_how_to_stop_it(tmp_path: Path) -> None:
    done = demo(tmp_path, "--keep")
    assert done.returncode == 0, done.stderr
    stop_command = re.search(r"kill (\d+) (\d+) && rm -r (\S+)", done.stdout)
    assert stop_command is not None, done.stdout
    children = [int(stop_command[1]), int(stop_command[2])]
    try:
        assert re.search(r"^URL +https://127\.0\.0\.1:\d+$", done.stdout, re.MULTILINE)
        assert re.search(r"^password +\S{16}$", done.stdout, re.MULTILINE)
        assert all(is_running(pid) for pid in children)
    finally:
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
    wait_for(lambda: [pid for pid in children if is_running(pid)], lambda left: left == [])
    shutil.rmtree(stop_command[3])


@pytest.mark.timeout(180)
def test_an_error_is_reported_and_leaves_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "aiosqlite.py").write_text("raise ImportError('broken on purpose')\n")
    monkeypatch.setenv("PYTHONPATH", str(broken))
    done = demo(tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("demo: `spsd user add` failed: ")
    assert "broken on purpose" in done.stderr
    assert list(tmp_path.iterdir()) == [broken]


def test_an_unknown_option_is_refused(tmp_path: Path) -> None:
    done = demo(tmp_path, "--no-such-option")
    assert done.returncode == 2
    assert "usage: scripts/demo" in done.stderr
