"""The modules by themselves, as processes, against real daemons."""

import hashlib
import importlib
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from spsd.testing.origin import Hang, Origin, Status
from spsd.testing.origin.threaded import ThreadedOrigin
from testbed import needs
from testbed.fleet_site import Appliance, Site, site

FETCH = "/api/firmware/fetch"
SLOTS = "/api/firmware/slots"
PACKAGE = "ansible_collections.spsd.appliance"
HANGS = [Hang(1000)] * 100
"""For every attempt."""
IMAGE = b"image" * 100_000
OTHER = b"other" * 100_000
DIGEST, OTHER_DIGEST = (hashlib.sha256(one).hexdigest() for one in (IMAGE, OTHER))

pytestmark = pytest.mark.timeout(120)


@dataclass
class Lab:
    """One appliance, one origin, and the modules."""

    site: Site
    origin: ThreadedOrigin
    names: list[str] = field(default_factory=lambda: ["one"])

    @property
    def one(self) -> Appliance:
        return self.site.appliances["one"]

    def run(self, name: str, **options: object) -> dict[str, Any]:
        return self.site.module(name, "one", **options)

    def fetch(self, sha256: str = DIGEST, **options: object) -> dict[str, Any]:
        return self.run("firmware_fetch", url=self.origin.url("/a"), sha256=sha256, **options)

    def state(self) -> object:
        """All that a module could change."""
        client = self.one.client()
        return [client.call("GET", path).document for path in (FETCH, SLOTS)]


@pytest.fixture
def lab(tmp_path: Path, state: Path) -> Iterator[Lab]:
    with (
        ThreadedOrigin(Origin({"/a": IMAGE, "/b": OTHER})) as origin,
        site(tmp_path, ["one"], state) as made,
    ):
        yield Lab(made, origin)


def predicted(lab: Lab, name: str, **options: object) -> dict[str, Any]:
    """What check mode says, which changes nothing."""
    before = lab.state()
    told = lab.run(name, _check=True, _diff=True, **options)
    assert lab.state() == before
    return told


def test_an_image_is_fetched_once(lab: Lab) -> None:
    wanted = {"url": lab.origin.url("/a"), "sha256": DIGEST.upper()}
    said = predicted(lab, "firmware_fetch", **wanted)
    assert said["changed"]
    assert said["diff"]["before"] != said["diff"]["after"]
    done = lab.fetch(DIGEST.upper(), _diff=True)
    assert (done["changed"], done["slot"], done["sha256"]) == (True, 1, DIGEST)
    assert done["diff"] == said["diff"]
    assert done["download"]["status"] == "finished"
    assert lab.one.slot_image(1).read_bytes() == IMAGE
    assert not predicted(lab, "firmware_fetch", **wanted)["changed"]
    again = lab.fetch()
    assert (again["changed"], again["slot"]) == (False, 1)
    assert len(lab.origin.requests) == 1
    assert len(lab.one.jobs()) == 1


def test_a_failure_is_told_with_its_code(lab: Lab) -> None:
    told = lab.fetch(OTHER_DIGEST)
    assert told["failed"]
    assert told["code"] == "digest"
    assert told["download"]["error"] in told["msg"]
    assert lab.one.url in told["msg"]


def test_a_mirror_brings_what_the_url_does_not(lab: Lab) -> None:
    lab.origin.script(Status(404))
    told = lab.fetch(mirrors=[lab.origin.url("/a") + "?again"])
    assert (told["changed"], told["slot"]) == (True, 1), told


def test_without_waiting_it_goes_on(lab: Lab) -> None:
    lab.origin.script(Hang(1000))
    told = lab.fetch(wait=False)
    assert (told["changed"], told["slot"]) == (True, None)
    [job] = lab.one.jobs()
    assert job["key"] == told["key"]
    assert job["body"]["status"] in ("queued", "in-progress")


@pytest.mark.parametrize(("choice", "after"), [("leave", "in-progress"), ("cancel", "cancelled")])
def test_what_takes_too_long(lab: Lab, choice: str, after: str) -> None:
    lab.origin.script(*HANGS)
    told = lab.fetch(timeout=1, on_timeout=choice)
    assert told["failed"]
    assert "has not ended after 1 s (in-progress, " in told["msg"]
    [job] = lab.one.jobs()
    assert job["key"] == told["key"]
    assert job["body"]["status"] == after


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_cancels_what_was_started(lab: Lab, number: signal.Signals) -> None:
    lab.origin.script(*HANGS)
    options = {"url": lab.origin.url("/a"), "sha256": DIGEST}
    with lab.site.running_module("firmware_fetch", "one", **options) as process:
        lab.origin.wait_for_requests(1, timeout_s=60)
        process.send_signal(number)
        out, _ = process.communicate()
    assert number.name in out
    [job] = lab.one.jobs()
    assert job["body"]["status"] == "cancelled"
    assert lab.one.staged() == []


def test_an_interrupt_waits_until_it_is_known_what_to_cancel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(Site(tmp_path, {}).collections)
    appliance = importlib.import_module(f"{PACKAGE}.plugins.module_utils.appliance")
    done = []
    before = signal.getsignal(signal.SIGTERM)

    def interrupted() -> None:
        with appliance.Interrupts() as interrupts:
            with interrupts.deferred():
                signal.raise_signal(signal.SIGTERM)
                done.append("the key is known")
            done.append("never")

    with pytest.raises(appliance.Interrupted, match="SIGTERM"):
        interrupted()
    assert done == ["the key is known"]
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_daemon_that_goes_away_is_waited_for(lab: Lab) -> None:
    lab.origin.script(Hang(1000))
    options = {"url": lab.origin.url("/a"), "sha256": DIGEST}
    with lab.site.running_module("firmware_fetch", "one", **options) as process:
        lab.origin.wait_for_requests(1, timeout_s=60)
        lab.one.kill()
        lab.one.start()
        out, err = process.communicate()
    assert '"changed": true' in out, out + err
    assert lab.one.slot_image(1).read_bytes() == IMAGE


def test_no_room_is_told_before_anything_is_asked(lab: Lab) -> None:
    for number in range(3):
        image = b"%d" % number * 1000
        lab.origin.swap("/b", image)
        lab.run(
            "firmware_fetch", url=lab.origin.url("/b"), sha256=hashlib.sha256(image).hexdigest()
        )
    for told in (
        predicted(lab, "firmware_fetch", url=lab.origin.url("/a"), sha256=DIGEST),
        lab.fetch(),
    ):
        assert told["failed"]
        assert "no empty slot" in told["msg"]
    assert len(lab.one.jobs()) == 3


def test_an_upgrade_and_what_is_left_of_it(lab: Lab) -> None:
    assert lab.fetch()["slot"] == 1
    said = predicted(lab, "firmware_upgrade", sha256=DIGEST)
    assert said["changed"]
    assert "ok" in said["test_summary"]
    with lab.site.restarting():
        done = lab.run("firmware_upgrade", sha256=DIGEST, reason="change 4711", _diff=True)
    assert (done["changed"], done["slot"], done["previous"]) == (True, 1, None), done
    assert done["diff"] == said["diff"]
    assert lab.one.running() == 1
    assert "change 4711" in lab.one.log.read_text()
    assert not predicted(lab, "firmware_upgrade", sha256=DIGEST)["changed"]
    assert not lab.run("firmware_upgrade", slot=1)["changed"]

    info = lab.run("firmware_slot_info")
    assert [one["empty"] for one in info["slots"]] == [False, True, True]
    assert info["running"]["sha256"] == info["after_reboot"]["sha256"] == DIGEST
    assert info["running"]["size"] == len(IMAGE)
    assert (info["changed"], info["empty_slots"]) == (False, 2)

    for told in (predicted(lab, "firmware_slot", slot=1), lab.run("firmware_slot", sha256=DIGEST)):
        assert told["failed"]
        assert "slot 1 contains the firmware that runs now" in told["msg"]


def test_a_choice_alone(lab: Lab) -> None:
    assert lab.fetch()["slot"] == 1
    assert predicted(lab, "firmware_upgrade", slot=1, wait=False)["changed"]
    assert lab.run("firmware_upgrade", slot=1, wait=False)["changed"]
    assert not lab.run("firmware_upgrade", slot=1, wait=False)["changed"]
    assert predicted(lab, "firmware_upgrade", slot=1)["changed"], "it does not run"


def test_an_upgrade_that_never_runs(lab: Lab) -> None:
    lab.fetch()
    told = lab.run("firmware_upgrade", slot=1, timeout=2)
    assert told["failed"]
    assert "an unknown slot runs, not slot 1" in told["msg"]


def test_a_refused_test_is_the_same_in_check_mode(lab: Lab) -> None:
    hook = lab.one.root / "hook"
    hook.write_text("#!/bin/sh\necho not on a Friday\nexit 1\n")
    hook.chmod(0o755)
    lab.one.change({"upgrade": {"test_hooks": [str(hook)]}})
    lab.one.restart()
    lab.fetch()
    for told in (predicted(lab, "firmware_upgrade", slot=1), lab.run("firmware_upgrade", slot=1)):
        assert (told["failed"], told["type"]) == (True, "FirmwareTestFailed")
        assert "not on a Friday" in told["details"]["test_summary"]


def test_what_cannot_be_upgraded_to(lab: Lab) -> None:
    for options, why in (
        ({"slot": 2}, "slot 2 is empty"),
        ({"slot": 9}, "there is no slot 9"),
        ({"sha256": DIGEST}, "no slot contains"),
        ({"sha256": "f" * 63}, "64 hexadecimal digits"),
        ({}, "one of the following is required"),
    ):
        assert why in lab.run("firmware_upgrade", **options)["msg"]
    assert lab.run("firmware_upgrade", sha256=DIGEST, image_to_come=True)["failed"]
    assert lab.run("firmware_upgrade", sha256=DIGEST, image_to_come=True, _check=True)["changed"]


def test_a_slot_is_emptied_once(lab: Lab) -> None:
    lab.fetch()
    said = predicted(lab, "firmware_slot", slot=1)
    done = lab.run("firmware_slot", slot=1, _diff=True)
    assert said["changed"]
    assert done["changed"]
    assert said["diff"] == done["diff"]
    assert [one["sha256"] for one in done["emptied"]] == [DIGEST]
    assert not lab.run("firmware_slot", slot=1)["changed"]
    assert not lab.run("firmware_slot", sha256=DIGEST)["changed"]
    assert "no slot 9" in lab.run("firmware_slot", slot=9)["msg"]
    assert "no slot 9" in lab.run("firmware_slot_info", slot=9)["msg"]


def test_downloads_are_cancelled_and_forgotten(lab: Lab) -> None:
    lab.fetch()
    lab.origin.script(*HANGS)
    under_way = lab.run(
        "firmware_fetch", url=lab.origin.url("/b"), sha256=OTHER_DIGEST, wait=False
    )["key"]
    active = {"status": ["queued", "in-progress"], "state": "cancelled"}
    assert predicted(lab, "firmware_download", **active)["downloads"] == [under_way]
    assert lab.run("firmware_download", **active)["downloads"] == [under_way]
    assert not lab.run("firmware_download", **active)["changed"]
    assert not lab.run("firmware_download", key=under_way, state="cancelled")["changed"]

    everything = {"status": ["finished", "failed", "cancelled"], "state": "absent"}
    keys = [one["key"] for one in lab.one.jobs()]
    assert predicted(lab, "firmware_download", **everything)["downloads"] == keys
    assert lab.run("firmware_download", **everything)["downloads"] == keys
    assert lab.one.jobs() == []
    assert not lab.run("firmware_download", **everything)["changed"]
    assert not lab.run("firmware_download", key=under_way, state="absent")["changed"]
    assert lab.one.slot_image(1).exists()

    again = lab.run("firmware_fetch", url=lab.origin.url("/b"), sha256=OTHER_DIGEST, wait=False)
    assert lab.run("firmware_download", key=again["key"], state="absent")["changed"]
    assert lab.one.jobs() == []


def test_who_is_not_let_in(lab: Lab) -> None:
    told = lab.run("firmware_slot_info", password="battery staple")
    assert told["failed"]
    assert told["status"] == 401
    assert "check username and password" in told["msg"]
    assert "battery staple" not in str(told), "no_log"
    lab.one.add_user("reader", "reads only!", role="viewer")
    reader = {"username": "reader", "password": "reads only!"}
    assert lab.run("firmware_slot_info", **reader)["empty_slots"] == 3
    told = lab.run("firmware_fetch", url=lab.origin.url("/a"), sha256=DIGEST, **reader)
    assert (told["failed"], told["status"], told["type"]) == (True, 403, "Unauthorized")


def test_who_is_not_there(lab: Lab) -> None:
    lab.one.kill()
    told = lab.fetch()
    assert told["failed"]
    assert f"{lab.one.url} cannot be reached" in told["msg"]


@pytest.mark.parametrize("url", ["appliance:8443", "ftp://a", "https://a/api", "http://a:x", "//a"])
def test_what_is_no_api(tmp_path: Path, url: str) -> None:
    nobody = Site(tmp_path, {"one": Appliance(tmp_path)})
    assert "api_url must be" in nobody.module("firmware_slot_info", "one", api_url=url)["msg"]


@needs.program("openssl")
def test_trust(tmp_path: Path, state: Path) -> None:
    with site(tmp_path, ["one"], state, {"server": {"plain_http": False}}) as made:
        certificate = made.appliances["one"].state / "tls" / "certificate.pem"
        command = ["openssl", "x509", "-in", certificate, "-noout", "-fingerprint", "-sha256"]
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        digits = shown.partition("=")[2]

        def look(**options: object) -> dict[str, Any]:
            return made.module("firmware_slot_info", "one", **options)

        assert "does not verify" in look()["msg"]
        assert look(ca_file=str(certificate))["empty_slots"] == 3
        for spelled in (shown, digits, digits.lower(), f"SHA256:{digits}", digits.replace(":", "")):
            assert look(fingerprint=spelled)["empty_slots"] == 3
        told = look(fingerprint="0" * 64)
        assert "another certificate" in told["msg"]
        assert digits in told["msg"]
        assert "fingerprint must be" in look(fingerprint="0" * 63)["msg"]
        assert "cannot be used" in look(ca_file=str(tmp_path / "none"))["msg"]
        assert "mutually exclusive" in look(ca_file="x", fingerprint="0" * 64)["msg"]
