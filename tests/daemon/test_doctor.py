"""`spsd doctor` reports each fault, reports none in a sound installation, and changes nothing."""

import asyncio
import json
import os
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

import pytest

from spsd.config import load
from spsd.doctor.rules import Grade
from spsd.doctor.run import findings
from spsd.system.certificate import ensure_self_signed
from spsd.testing.origin import Origin
from testbed.driver import Daemon, running
from testbed.iso import build_iso
from tests.daemon.databases import (
    DAMAGED,
    execute,
    locked_by_another_program,
    output_of_refused_start,
    run_spsd,
)
from tests.daemon.test_crash import sha256

DATABASE = "spsd.sqlite"
NEVER = "http://127.0.0.1:9/never.iso"


@pytest.fixture(scope="module")
def used_state(tmp_path_factory) -> Path:
    """The state directory of a stopped daemon that has installed an image and failed 40 jobs."""
    root = tmp_path_factory.mktemp("used")
    asyncio.run(run_some_jobs(root))
    return root / "state"


async def run_some_jobs(root: Path) -> None:
    iso = build_iso(root / "image.iso")
    fetch = {"attempts": 1, "concurrent": 1}
    async with Origin({"/image.iso": iso}) as origin, running(root, fetch=fetch) as daemon:
        key = await daemon.submit(origin.url("/image.iso"), sha256(iso))
        assert (await daemon.over(key))["status"] == "finished"
        for _ in range(40):
            key = await daemon.submit(NEVER, os.urandom(32).hex())
        await daemon.over(key)
        assert await daemon.stop() == 0


@dataclass
class Installation:
    """A copy of that state directory, which a test may damage."""

    daemon: Daemon

    @property
    def state(self) -> Path:
        return self.daemon.state

    def problems(self, *, deep: bool = False) -> dict[str, tuple[Grade, str]]:
        """Grade and line by check of all findings that are not OK."""
        return {
            finding.check: (finding.grade, finding.line())
            for finding in findings(load(self.daemon.config), deep=deep)
            if finding.grade is not Grade.OK
        }


@pytest.fixture
def installation(used_state, tmp_path) -> Installation:
    daemon = Daemon(tmp_path)
    daemon.configure()
    shutil.copytree(used_state, daemon.state, symlinks=True)
    daemon.state.chmod(0o700)
    return Installation(daemon)


def content(directory: Path) -> dict[str, bytes]:
    """All files with content, but for SQLite's lock file and an empty log."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.suffix != ".sqlite-shm" and path.stat().st_size > 0
    }


def test_a_sound_installation_has_no_problem(installation: Installation) -> None:
    before = content(installation.state)
    assert installation.problems(deep=True) == {}
    assert content(installation.state) == before


@pytest.mark.parametrize("fault", DAMAGED)
def test_a_damaged_database_is_reported_and_refused(
    fault: str, installation: Installation, tally
) -> None:
    damage, evidence = DAMAGED[fault]
    damage(installation.state / DATABASE)
    before = content(installation.state)
    [(check, (grade, line))] = installation.problems().items()
    assert (check, grade) == ("database", Grade.WRONG)
    assert f"{DATABASE}: {evidence}" in line
    # The daemon reports the same, and neither changes anything.
    output = asyncio.run(output_of_refused_start(installation.daemon))
    assert output.startswith(f"spsd: {installation.state}/{DATABASE}: {evidence}")
    assert output.count("\n") == 1
    assert content(installation.state) == before
    tally("faults that the doctor names")
    tally("spoilt databases refused, in a line and untouched")


def no_manifest(installation: Installation) -> None:
    (installation.state / "slots/1/manifest.json").unlink()


def short_image(installation: Installation) -> None:
    image = installation.daemon.image(1)
    image.chmod(0o600)
    os.truncate(image, 1000)


def no_image(installation: Installation) -> None:
    installation.daemon.image(1).unlink()


def other_bytes(installation: Installation) -> None:
    image = installation.daemon.image(1)
    image.chmod(0o600)
    with image.open("r+b") as file:
        file.write(b"\xff")


def link_to_an_empty_slot(installation: Installation) -> None:
    (installation.state / "slots/next").symlink_to("4")


def bad_record(installation: Installation) -> None:
    (installation.state / "slots/boot.json").write_text("{")


def slot_beyond(installation: Installation) -> None:
    (installation.state / "slots/1").rename(installation.state / "slots/77")


def staging_left(installation: Installation) -> None:
    (installation.state / "staging/unknown").mkdir()
    (installation.state / "staging/unknown/image").write_bytes(bytes(12_345))


def open_to_others(installation: Installation) -> None:
    installation.state.chmod(0o755)


def no_directory(installation: Installation) -> None:
    shutil.rmtree(installation.state)


def no_database(installation: Installation) -> None:
    (installation.state / DATABASE).unlink()


def orphans(installation: Installation) -> None:
    execute(
        installation.state / DATABASE,
        "PRAGMA foreign_keys = OFF",
        "INSERT INTO session VALUES ('x', 999, 0, 0)",
    )


def from_tomorrow(installation: Installation) -> None:
    execute(installation.state / DATABASE, "UPDATE job SET changed_at = changed_at + 1000000")


def no_hook(installation: Installation) -> None:
    installation.daemon.upgrade = {"test_hooks": ["/nowhere/hook"]}
    installation.daemon.configure()


def bad_certificate(installation: Installation) -> None:
    installation.daemon.tls = True
    installation.daemon.configure()
    ensure_self_signed(installation.state / "tls", hostname="x")
    (installation.state / "tls/key.pem").write_text("no key")


FAULTS = {
    no_manifest: ("slot_1", Grade.WRONG, "without a readable manifest"),
    short_image: ("slot_1", Grade.WRONG, "its image has 1000 bytes, but its manifest states"),
    no_image: ("slot_1", Grade.WRONG, "its image is missing"),
    other_bytes: ("slot_1", Grade.WRONG, "its image does not have the SHA-256"),
    link_to_an_empty_slot: ("next_boot", Grade.WRONG, "slots/next leads to '4'"),
    bad_record: ("next_boot", Grade.WRONG, "boot.json cannot be read"),
    slot_beyond: ("slots_beyond", Grade.WARNING, "slots 77 are on disk"),
    staging_left: ("staging_left", Grade.WARNING, "1 entries that no job can resume, 12345 bytes"),
    open_to_others: ("state_directory", Grade.WARNING, "other users have access"),
    no_directory: ("state_directory", Grade.WRONG, "No such file or directory"),
    no_database: ("database", Grade.WARNING, "is missing, but slots hold images"),
    orphans: ("database_rows", Grade.WRONG, "reports 1 orphaned rows"),
    from_tomorrow: ("clock", Grade.WARNING, "s in the future"),
    no_hook: ("hooks", Grade.WRONG, "/nowhere/hook does not exist or is not executable"),
    bad_certificate: ("certificate", Grade.WARNING, "is not an unencrypted private key"),
}


@pytest.mark.parametrize("damage", FAULTS, ids=lambda damage: damage.__name__)
def test_each_fault_is_reported(damage, installation: Installation, tally) -> None:
    check, grade, evidence = FAULTS[damage]
    damage(installation)
    problems = installation.problems(deep=True)
    assert list(problems) == [check]
    assert problems[check][0] is grade
    assert evidence in problems[check][1]
    tally("faults that the doctor names")


def test_a_port_in_use_is_reported(installation: Installation) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        text = installation.daemon.config.read_text()
        installation.daemon.config.write_text(
            text.replace("port = 0", f"port = {other.getsockname()[1]}")
        )
        [(check, (grade, line))] = installation.problems().items()
    assert (check, grade) == ("address", Grade.WRONG)
    assert "Address already in use" in line
    assert installation.problems() == {}


async def test_lines_json_and_exit_codes_of_the_command(installation: Installation) -> None:
    code, output = await run_spsd(installation.daemon, "doctor", "--deep")
    lines = output.splitlines()
    assert code == 0, output
    assert all(line.startswith("ok      ") for line in lines)
    assert "ok      jobs: 1 finished, 40 failed" in lines
    await asyncio.to_thread(no_image, installation)
    code, output = await run_spsd(installation.daemon, "doctor")
    assert code == 1
    assert (
        "wrong   slot_1: its image is missing. Restore a backup, or fetch the image again."
        in output
    )
    code, output = await run_spsd(installation.daemon, "doctor", "--json")
    assert code == 1
    [wrong] = [finding for finding in json.loads(output) if finding["grade"] == "wrong"]
    assert list(wrong) == ["check", "grade", "said", "advice"]
    assert wrong["check"] == "slot_1"
    assert (await run_spsd(installation.daemon, "doctor", "--no-such"))[0] == 2
    installation.daemon.config.write_text("[fetch]\nconcurrent = 0\n")
    code, output = await run_spsd(installation.daemon, "doctor")
    assert code == 1
    assert output.startswith("wrong   configuration: ")


async def test_the_version_of_an_image_controls_no_terminal(installation: Installation) -> None:
    path = installation.state / "slots" / "1" / "manifest.json"
    manifest = json.loads(path.read_bytes())
    manifest["info"]["version"] = "9\x1b]0;root\x07\u202e\x9b2J\nwrong   forged: line"
    path.chmod(0o600)
    path.write_text(json.dumps(manifest))
    code, output = await run_spsd(installation.daemon, "doctor")
    assert code == 0
    [line] = [line for line in output.splitlines() if "slot_1" in line]
    assert r"9\x1b]0;root\x07\u202e\x9b2J\nwrong   forged: line, " in line
    assert not set(output) & set("\x1b\x07\u202e\x9b")


async def test_a_running_daemon_is_not_disturbed(tmp_path: Path) -> None:
    iso = build_iso(tmp_path / "image.iso")
    other = build_iso(tmp_path / "other.iso", version="9.9.9")
    objects = {"/image.iso": iso, "/other.iso": other}
    async with Origin(objects) as origin, running(tmp_path) as daemon:
        key = await daemon.submit(origin.url("/image.iso"), sha256(iso))
        assert (await daemon.over(key))["status"] == "finished"
        before = content(daemon.state)
        log = (daemon.state / f"{DATABASE}-wal").stat()
        code, output = await run_spsd(daemon, "doctor")
        assert code == 0, output
        assert f"ok      daemon: running, process {daemon.process.pid} (" in output
        assert content(daemon.state) == before
        after = (daemon.state / f"{DATABASE}-wal").stat()
        assert (after.st_ino, after.st_size, after.st_mtime_ns) == (
            (log.st_ino, log.st_size, log.st_mtime_ns)
        )
        key = await daemon.submit(origin.url("/other.iso"), sha256(other))
        assert (await daemon.over(key))["status"] == "finished"


async def test_a_locked_database_can_be_inspected(installation: Installation) -> None:
    async with locked_by_another_program(installation.state / DATABASE):
        code, output = await run_spsd(installation.daemon, "doctor")
        assert code == 0, output


def test_an_address_of_ipv6_is_written_as_in_a_url(installation: Installation) -> None:
    installation.daemon.server = {"host": "::1", "port": 1}
    installation.daemon.configure()
    [address] = [
        finding
        for finding in findings(load(installation.daemon.config), deep=False)
        if finding.check == "address"
    ]
    assert "[::1]:1" in address.line()
