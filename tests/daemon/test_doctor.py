"""`spsd doctor` names each fault, says that all is well where it is, and disturbs nobody."""

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
from tests.daemon.databases import SPOILT, execute, held, ran, refused
from tests.daemon.test_crash import sha256

DATABASE = "spsd.sqlite"
NEVER = "http://127.0.0.1:9/never.iso"


@pytest.fixture(scope="module")
def used(tmp_path_factory) -> Path:
    """What a daemon left that has installed an image, failed one, and stopped with one queued."""
    root = tmp_path_factory.mktemp("used")
    asyncio.run(use(root))
    return root / "state"


async def use(root: Path) -> None:
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
class Patient:
    """A copy of that state, to be spoilt."""

    daemon: Daemon

    @property
    def state(self) -> Path:
        return self.daemon.state

    def told(self, *, deep: bool = False) -> dict[str, tuple[Grade, str]]:
        found = findings(load(self.daemon.config), deep=deep)
        return {one.check: (one.grade, one.line()) for one in found if one.grade is not Grade.OK}


@pytest.fixture
def patient(used, tmp_path) -> Patient:
    daemon = Daemon(tmp_path)
    daemon.configure()
    shutil.copytree(used, daemon.state, symlinks=True)
    daemon.state.chmod(0o700)
    return Patient(daemon)


def content(directory: Path) -> dict[str, bytes]:
    """SQLite's lock file is nobody's content, and neither is an empty log."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.suffix != ".sqlite-shm" and path.stat().st_size > 0
    }


def test_all_is_well(patient: Patient) -> None:
    before = content(patient.state)
    assert patient.told(deep=True) == {}
    assert content(patient.state) == before


@pytest.mark.parametrize("fault", SPOILT)
def test_a_spoilt_database(fault: str, patient: Patient, tally) -> None:
    spoil, what = SPOILT[fault]
    spoil(patient.state / DATABASE)
    before = content(patient.state)
    [(check, (grade, line))] = patient.told().items()
    assert (check, grade) == ("database", Grade.WRONG)
    assert f"{DATABASE}: {what}" in line
    # The daemon says the same, and both leave everything as it is.
    told = asyncio.run(refused(patient.daemon))
    assert told.startswith(f"spsd: {patient.state}/{DATABASE}: {what}")
    assert told.count("\n") == 1
    assert content(patient.state) == before
    tally("faults that the doctor names")
    tally("spoilt databases refused, in a line and untouched")


def no_manifest(patient: Patient) -> None:
    (patient.state / "slots/1/manifest.json").unlink()


def short_image(patient: Patient) -> None:
    image = patient.daemon.image(1)
    image.chmod(0o600)
    os.truncate(image, 1000)


def no_image(patient: Patient) -> None:
    patient.daemon.image(1).unlink()


def other_bytes(patient: Patient) -> None:
    image = patient.daemon.image(1)
    image.chmod(0o600)
    with image.open("r+b") as file:
        file.write(b"\xff")


def link_to_nowhere(patient: Patient) -> None:
    (patient.state / "slots/next").symlink_to("4")


def bad_record(patient: Patient) -> None:
    (patient.state / "slots/boot.json").write_text("{")


def slot_beyond(patient: Patient) -> None:
    (patient.state / "slots/1").rename(patient.state / "slots/77")


def staging_left(patient: Patient) -> None:
    (patient.state / "staging/of-nobody").mkdir()
    (patient.state / "staging/of-nobody/image").write_bytes(bytes(12_345))


def open_to_others(patient: Patient) -> None:
    patient.state.chmod(0o755)


def no_directory(patient: Patient) -> None:
    shutil.rmtree(patient.state)


def no_database(patient: Patient) -> None:
    (patient.state / DATABASE).unlink()


def orphans(patient: Patient) -> None:
    execute(
        patient.state / DATABASE,
        "PRAGMA foreign_keys = OFF",
        "INSERT INTO session VALUES ('x', 999, 0, 0)",
    )


def from_tomorrow(patient: Patient) -> None:
    execute(patient.state / DATABASE, "UPDATE job SET changed_at = changed_at + 1000000")


def no_hook(patient: Patient) -> None:
    patient.daemon.upgrade = {"test_hooks": ["/nowhere/hook"]}
    patient.daemon.configure()


def bad_certificate(patient: Patient) -> None:
    patient.daemon.tls = True
    patient.daemon.configure()
    ensure_self_signed(patient.state / "tls", hostname="x")
    (patient.state / "tls/key.pem").write_text("no key")


FAULTS = {
    no_manifest: ("slot_1", Grade.WRONG, "without a readable manifest"),
    short_image: ("slot_1", Grade.WRONG, "its image has 1000 bytes, and its manifest says"),
    no_image: ("slot_1", Grade.WRONG, "its image is missing"),
    other_bytes: ("slot_1", Grade.WRONG, "its image does not have the SHA-256"),
    link_to_nowhere: ("next_boot", Grade.WRONG, "slots/next leads to '4'"),
    bad_record: ("next_boot", Grade.WRONG, "boot.json cannot be read"),
    slot_beyond: ("slots_beyond", Grade.WARNING, "slots 77 are on disk"),
    staging_left: ("staging_left", Grade.WARNING, "1 that nobody goes on with, 12345 bytes"),
    open_to_others: ("state_directory", Grade.WARNING, "open to others (mode 0755)"),
    no_directory: ("state_directory", Grade.WRONG, "No such file or directory"),
    no_database: ("database", Grade.WARNING, "is not there, and slots are full"),
    orphans: ("database_rows", Grade.WRONG, "finds 1 rows of nobody"),
    from_tomorrow: ("clock", Grade.WARNING, "s in the future"),
    no_hook: ("hooks", Grade.WRONG, "/nowhere/hook is not there or not executable"),
    bad_certificate: ("certificate", Grade.WARNING, "is no unencrypted private key"),
}


@pytest.mark.parametrize("spoil", FAULTS, ids=lambda spoil: spoil.__name__)
def test_a_fault(spoil, patient: Patient, tally) -> None:
    check, grade, what = FAULTS[spoil]
    spoil(patient)
    told = patient.told(deep=True)
    assert list(told) == [check]
    assert told[check][0] is grade
    assert what in told[check][1]
    tally("faults that the doctor names")


def test_a_port_that_is_taken(patient: Patient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        text = patient.daemon.config.read_text()
        patient.daemon.config.write_text(
            text.replace("port = 0", f"port = {other.getsockname()[1]}")
        )
        [(check, (grade, line))] = patient.told().items()
    assert (check, grade) == ("address", Grade.WRONG)
    assert "Address already in use" in line
    assert patient.told() == {}


async def test_the_command(patient: Patient) -> None:
    code, told = await ran(patient.daemon, "doctor", "--deep")
    lines = told.splitlines()
    assert code == 0, told
    assert all(line.startswith("ok      ") for line in lines)
    assert "ok      jobs: 1 finished, 40 failed" in lines
    await asyncio.to_thread(no_image, patient)
    code, told = await ran(patient.daemon, "doctor")
    assert code == 1
    assert (
        "wrong   slot_1: its image is missing. Restore a backup, or fetch the image again." in told
    )
    code, told = await ran(patient.daemon, "doctor", "--json")
    assert code == 1
    [wrong] = [one for one in json.loads(told) if one["grade"] == "wrong"]
    assert wrong["check"] == "slot_1"
    assert (await ran(patient.daemon, "doctor", "--no-such"))[0] == 2
    patient.daemon.config.write_text("[fetch]\nconcurrent = 0\n")
    code, told = await ran(patient.daemon, "doctor")
    assert code == 1
    assert told.startswith("wrong   configuration: ")


async def test_a_running_daemon_is_not_disturbed(tmp_path: Path) -> None:
    iso = build_iso(tmp_path / "image.iso")
    other = build_iso(tmp_path / "other.iso", version="9.9.9")
    objects = {"/image.iso": iso, "/other.iso": other}
    async with Origin(objects) as origin, running(tmp_path) as daemon:
        key = await daemon.submit(origin.url("/image.iso"), sha256(iso))
        assert (await daemon.over(key))["status"] == "finished"
        before = content(daemon.state)
        log = (daemon.state / f"{DATABASE}-wal").stat()
        code, told = await ran(daemon, "doctor")
        assert code == 0, told
        assert f"ok      daemon: running, process {daemon.process.pid} (" in told
        assert content(daemon.state) == before
        after = (daemon.state / f"{DATABASE}-wal").stat()
        assert (after.st_ino, after.st_size, after.st_mtime_ns) == (
            (log.st_ino, log.st_size, log.st_mtime_ns)
        )
        key = await daemon.submit(origin.url("/other.iso"), sha256(other))
        assert (await daemon.over(key))["status"] == "finished"


async def test_a_locked_database_can_be_looked_at(patient: Patient) -> None:
    async with held(patient.state / DATABASE):
        code, told = await ran(patient.daemon, "doctor")
        assert code == 0, told
