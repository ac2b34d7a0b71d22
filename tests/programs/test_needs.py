"""testbed/needs.py: a missing requirement skips a test when it runs, with a message of one line."""

import multiprocessing.synchronize
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from testbed import fuse, needs
from testbed.memory import memory

ROOT = Path(__file__).resolve().parents[2]


def skip_message(need: pytest.MarkDecorator) -> str | None:
    try:
        needs.now(need)
    except pytest.skip.Exception as skipped:
        return skipped.msg
    return None


def test_a_program_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        needs, "find_program", lambda name: None if name == "promtool" else "/bin/x"
    )
    assert skip_message(needs.program("curl")) is None
    assert skip_message(needs.program("curl", "promtool")) == "needs promtool (Debian: prometheus)"


def test_every_program_that_a_test_needs_has_a_package() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py")]
    calls = re.findall(r"needs\.program\(((?:\"[\w.-]+\"(?:, )?)+)\)", "\n".join(texts))
    names = {name for call in calls for name in re.findall(r'"([^"]+)"', call)}
    assert {"curl", "nginx", "prometheus", "squid"} <= names
    assert names - needs.PACKAGES.keys() == set()


def test_root_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert skip_message(needs.root()) == "needs root"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert skip_message(needs.root()) is None


def test_semaphores(monkeypatch: pytest.MonkeyPatch) -> None:
    assert skip_message(needs.semaphores()) is None or not os.access("/dev/shm", os.W_OK)

    def refused(**_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(multiprocessing.synchronize, "Lock", refused)
    assert skip_message(needs.semaphores()) == "needs a writable /dev/shm"


def test_fuse_and_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> tuple[int, int]:
        raise OSError("out of pty devices")

    monkeypatch.setattr(pty, "openpty", refused)
    assert skip_message(needs.terminal()) == "needs a pseudo-terminal: /dev/ptmx and /dev/pts"
    monkeypatch.setattr(fuse, "unavailable", lambda: "there is no /dev/fuse")
    assert skip_message(needs.fuse()) == "needs FUSE (Debian: fuse3 libfuse3-3)"


def test_a_mark_skips_when_the_test_runs() -> None:
    """All tests are collected on a machine without any of the programs."""
    environ = {**os.environ, "PATH": "/nowhere"}
    module = "tests/system/test_certificate.py"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", "-k", "curl", module],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "needs curl (Debian: curl)" in done.stdout
    assert re.search(r"\b3 skipped", done.stdout)


def test_shared_memory_is_used_only_if_it_is_writable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert memory(tmp_path) == tmp_path
    assert memory(tmp_path / "none") is None
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert memory(tmp_path) is None
