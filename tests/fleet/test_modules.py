"""Each module alone, without a playbook, against real daemons."""

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
from testbed.waiting import wait_for

FETCH = "/api/firmware/fetch"
SLOTS = "/api/firmware/slots"
PACKAGE = "ansible_collections.spsd.appliance"
HANGS_AT = 1000
HANGS = [Hang(HANGS_AT)] * 100
"""Responses that stop after 1,000 bytes, enough for every attempt."""
IMAGE = b"image" * 100_000
OTHER = b"other" * 100_000
DIGEST, OTHER_DIGEST = (hashlib.sha256(image).hexdigest() for image in (IMAGE, OTHER))

pytestmark = pytest.mark.timeout(120)


@dataclass
class Lab:
    """One appliance and one origin, and methods that run modules against them."""

    site: Site
    origin: ThreadedOrigin
    names: list[str] = field(default_factory=lambda: ["one"])

    @property
    def appliance(self) -> Appliance:
        return self.site.appliances["one"]

    def run(self, name: str, **options: object) -> dict[str, Any]:
        return self.site.module(name, "one", **options)

    def fetch(self, sha256: str = DIGEST, **options: object) -> dict[str, Any]:
        return self.run("firmware_fetch", url=self.origin.url("/a"), sha256=sha256, **options)

    def state(self) -> object:
        """Everything that a module can change: the lists of downloads and slots."""
        client = self.appliance.client()
        return [client.call("GET", path).document for path in (FETCH, SLOTS)]


@pytest.fixture
def lab(tmp_path: Path, state: Path) -> Iterator[Lab]:
    with (
        ThreadedOrigin(Origin({"/a": IMAGE, "/b": OTHER})) as origin,
        site(tmp_path, ["one"], state) as fleet,
    ):
        yield Lab(fleet, origin)


def predicted(lab: Lab, name: str, **options: object) -> dict[str, Any]:
    """The result of check mode, which must change nothing."""
    before = lab.state()
    result = lab.run(name, _check=True, _diff=True, **options)
    assert lab.state() == before
    return result


def test_an_image_is_fetched_once(lab: Lab) -> None:
    options = {"url": lab.origin.url("/a"), "sha256": DIGEST.upper()}
    prediction = predicted(lab, "firmware_fetch", **options)
    assert prediction["changed"]
    assert prediction["diff"]["before"] != prediction["diff"]["after"]
    done = lab.fetch(DIGEST.upper(), _diff=True)
    assert (done["changed"], done["slot"], done["sha256"]) == (True, 1, DIGEST)
    assert done["diff"] == prediction["diff"]
    assert done["download"]["status"] == "finished"
    assert lab.appliance.slot_image(1).read_bytes() == IMAGE
    assert not predicted(lab, "firmware_fetch", **options)["changed"]
    again = lab.fetch()
    assert (again["changed"], again["slot"]) == (False, 1)
    assert len(lab.origin.requests) == 1
    assert len(lab.appliance.jobs()) == 1


def test_a_failure_is_reported_with_its_code(lab: Lab) -> None:
    result = lab.fetch(OTHER_DIGEST)
    assert result["failed"]
    assert result["code"] == "digest"
    assert result["download"]["error"] in result["msg"]
    assert lab.appliance.url in result["msg"]


def test_a_mirror_is_used_where_the_url_fails(lab: Lab) -> None:
    lab.origin.script(Status(404))
    result = lab.fetch(mirrors=[lab.origin.url("/a") + "?again"])
    assert (result["changed"], result["slot"]) == (True, 1), result


def test_without_wait_the_download_continues_after_the_module(lab: Lab) -> None:
    lab.origin.script(Hang(1000))
    result = lab.fetch(wait=False)
    assert (result["changed"], result["slot"]) == (True, None)
    [job] = lab.appliance.jobs()
    assert job["key"] == result["key"]
    assert job["body"]["status"] in ("queued", "in-progress")


@pytest.mark.parametrize(("choice", "after"), [("leave", "in-progress"), ("cancel", "cancelled")])
def test_a_download_that_takes_too_long(lab: Lab, choice: str, after: str) -> None:
    lab.origin.script(*HANGS)
    result = lab.fetch(timeout=1, on_timeout=choice)
    assert result["failed"]
    assert "has not ended after 1 s (in-progress, " in result["msg"]
    [job] = lab.appliance.jobs()
    assert job["key"] == result["key"]
    assert job["body"]["status"] == after


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_cancels_the_download(lab: Lab, number: signal.Signals) -> None:
    lab.origin.script(*HANGS)
    options = {"url": lab.origin.url("/a"), "sha256": DIGEST}
    with lab.site.running_module("firmware_fetch", "one", **options) as process:
        lab.origin.wait_for_requests(1, timeout_s=60)
        process.send_signal(number)
        out, _ = process.communicate()
    assert number.name in out
    [job] = lab.appliance.jobs()
    assert job["body"]["status"] == "cancelled"
    assert lab.appliance.staged() == []


def test_an_interrupt_is_deferred_until_the_key_is_known(
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


def test_the_module_waits_for_a_daemon_that_restarts(lab: Lab) -> None:
    lab.origin.script(Hang(1000))
    options = {"url": lab.origin.url("/a"), "sha256": DIGEST}
    with lab.site.running_module("firmware_fetch", "one", **options) as process:
        lab.origin.wait_for_requests(1, timeout_s=60)
        lab.appliance.kill()
        lab.appliance.start()
        out, err = process.communicate()
    assert '"changed": true' in out, out + err
    assert lab.appliance.slot_image(1).read_bytes() == IMAGE


def test_without_an_empty_slot_nothing_is_requested(lab: Lab) -> None:
    for number in range(3):
        image = b"%d" % number * 1000
        lab.origin.swap("/b", image)
        lab.run(
            "firmware_fetch", url=lab.origin.url("/b"), sha256=hashlib.sha256(image).hexdigest()
        )
    for result in (
        predicted(lab, "firmware_fetch", url=lab.origin.url("/a"), sha256=DIGEST),
        lab.fetch(),
    ):
        assert result["failed"]
        assert "no empty slot" in result["msg"]
    assert len(lab.appliance.jobs()) == 3


def test_an_upgrade_and_its_effects(lab: Lab) -> None:
    assert lab.fetch()["slot"] == 1
    prediction = predicted(lab, "firmware_upgrade", sha256=DIGEST)
    assert prediction["changed"]
    assert "ok" in prediction["test_summary"]
    with lab.site.restarting():
        done = lab.run("firmware_upgrade", sha256=DIGEST, reason="change 4711", _diff=True)
    assert (done["changed"], done["slot"], done["previous"]) == (True, 1, None), done
    assert done["diff"] == prediction["diff"]
    assert lab.appliance.running() == 1
    assert "change 4711" in lab.appliance.log.read_text()
    assert not predicted(lab, "firmware_upgrade", sha256=DIGEST)["changed"]
    assert not lab.run("firmware_upgrade", slot=1)["changed"]

    info = lab.run("firmware_slot_info")
    assert [slot["empty"] for slot in info["slots"]] == [False, True, True]
    assert info["running"]["sha256"] == info["after_reboot"]["sha256"] == DIGEST
    assert info["running"]["size"] == len(IMAGE)
    assert (info["changed"], info["empty_slots"]) == (False, 2)

    for result in (
        predicted(lab, "firmware_slot", slot=1),
        lab.run("firmware_slot", sha256=DIGEST),
    ):
        assert result["failed"]
        assert "slot 1 contains the firmware that runs now" in result["msg"]


def test_a_boot_choice_without_waiting_for_the_reboot(lab: Lab) -> None:
    assert lab.fetch()["slot"] == 1
    assert predicted(lab, "firmware_upgrade", slot=1, wait=False)["changed"]
    assert lab.run("firmware_upgrade", slot=1, wait=False)["changed"]
    assert not lab.run("firmware_upgrade", slot=1, wait=False)["changed"]
    assert predicted(lab, "firmware_upgrade", slot=1)["changed"], "the slot does not run yet"


def test_an_upgrade_that_never_runs(lab: Lab) -> None:
    lab.fetch()
    result = lab.run("firmware_upgrade", slot=1, timeout=2)
    assert result["failed"]
    assert "an unknown slot runs, not slot 1" in result["msg"]


def test_a_refused_test_is_the_same_in_check_mode(lab: Lab) -> None:
    hook = lab.appliance.root / "hook"
    hook.write_text("#!/bin/sh\necho not on a Friday\nexit 1\n")
    hook.chmod(0o755)
    lab.appliance.change({"upgrade": {"test_hooks": [str(hook)]}})
    lab.appliance.restart()
    lab.fetch()
    for result in (predicted(lab, "firmware_upgrade", slot=1), lab.run("firmware_upgrade", slot=1)):
        assert (result["failed"], result["type"]) == (True, "FirmwareTestFailed")
        assert "not on a Friday" in result["details"]["test_summary"]


def test_an_upgrade_to_no_usable_slot_is_refused(lab: Lab) -> None:
    for options, message in (
        ({"slot": 2}, "slot 2 is empty"),
        ({"slot": 9}, "there is no slot 9"),
        ({"sha256": DIGEST}, "no slot contains"),
        ({"sha256": "f" * 63}, "64 hexadecimal digits"),
        ({}, "one of the following is required"),
    ):
        assert message in lab.run("firmware_upgrade", **options)["msg"]
    assert lab.run("firmware_upgrade", sha256=DIGEST, image_to_come=True)["failed"]
    assert lab.run("firmware_upgrade", sha256=DIGEST, image_to_come=True, _check=True)["changed"]


def test_a_slot_is_emptied_once(lab: Lab) -> None:
    lab.fetch()
    prediction = predicted(lab, "firmware_slot", slot=1)
    done = lab.run("firmware_slot", slot=1, _diff=True)
    assert prediction["changed"]
    assert done["changed"]
    assert prediction["diff"] == done["diff"]
    assert [slot["sha256"] for slot in done["emptied"]] == [DIGEST]
    assert not lab.run("firmware_slot", slot=1)["changed"]
    assert not lab.run("firmware_slot", sha256=DIGEST)["changed"]
    assert "no slot 9" in lab.run("firmware_slot", slot=9)["msg"]
    assert "no slot 9" in lab.run("firmware_slot_info", slot=9)["msg"]


def test_downloads_are_cancelled_and_their_records_removed(lab: Lab) -> None:
    lab.fetch()
    lab.origin.script(*HANGS)
    under_way = lab.run(
        "firmware_fetch", url=lab.origin.url("/b"), sha256=OTHER_DIGEST, wait=False
    )["key"]
    # Its progress has no further change while it hangs, so states can be compared.
    wait_for(lambda: lab.appliance.jobs()[-1]["body"]["bytes_downloaded"] == HANGS_AT)
    active = {"status": ["queued", "in-progress"], "state": "cancelled"}
    assert predicted(lab, "firmware_download", **active)["downloads"] == [under_way]
    assert lab.run("firmware_download", **active)["downloads"] == [under_way]
    assert not lab.run("firmware_download", **active)["changed"]
    assert not lab.run("firmware_download", key=under_way, state="cancelled")["changed"]

    everything = {"status": ["finished", "failed", "cancelled"], "state": "absent"}
    keys = [job["key"] for job in lab.appliance.jobs()]
    assert predicted(lab, "firmware_download", **everything)["downloads"] == keys
    assert lab.run("firmware_download", **everything)["downloads"] == keys
    assert lab.appliance.jobs() == []
    assert not lab.run("firmware_download", **everything)["changed"]
    assert not lab.run("firmware_download", key=under_way, state="absent")["changed"]
    assert lab.appliance.slot_image(1).exists()

    again = lab.run("firmware_fetch", url=lab.origin.url("/b"), sha256=OTHER_DIGEST, wait=False)
    assert lab.run("firmware_download", key=again["key"], state="absent")["changed"]
    assert lab.appliance.jobs() == []


def test_wrong_credentials_and_missing_rights(lab: Lab) -> None:
    result = lab.run("firmware_slot_info", password="battery staple")
    assert result["failed"]
    assert result["status"] == 401
    assert "check username and password" in result["msg"]
    assert "battery staple" not in str(result), "no_log"
    lab.appliance.add_user("reader", "reads only!", role="viewer")
    reader = {"username": "reader", "password": "reads only!"}
    assert lab.run("firmware_slot_info", **reader)["empty_slots"] == 3
    result = lab.run("firmware_fetch", url=lab.origin.url("/a"), sha256=DIGEST, **reader)
    assert (result["failed"], result["status"], result["type"]) == (True, 403, "Unauthorized")


def test_an_appliance_that_cannot_be_reached(lab: Lab) -> None:
    lab.appliance.kill()
    result = lab.fetch()
    assert result["failed"]
    assert f"{lab.appliance.url} cannot be reached" in result["msg"]


@pytest.mark.parametrize("url", ["appliance:8443", "ftp://a", "https://a/api", "http://a:x", "//a"])
def test_an_invalid_api_url_is_refused(tmp_path: Path, url: str) -> None:
    stopped = Site(tmp_path, {"one": Appliance(tmp_path)})
    assert "api_url must be" in stopped.module("firmware_slot_info", "one", api_url=url)["msg"]


@needs.program("openssl")
def test_the_certificate_is_verified_by_authority_or_fingerprint(
    tmp_path: Path, state: Path
) -> None:
    with site(tmp_path, ["one"], state, {"server": {"plain_http": False}}) as fleet:
        certificate = fleet.appliances["one"].state / "tls" / "certificate.pem"
        command = ["openssl", "x509", "-in", certificate, "-noout", "-fingerprint", "-sha256"]
        line = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        digits = line.partition("=")[2]

        def look(**options: object) -> dict[str, Any]:
            return fleet.module("firmware_slot_info", "one", **options)

        assert "does not verify" in look()["msg"]
        assert look(ca_file=str(certificate))["empty_slots"] == 3
        for text in (line, digits, digits.lower(), f"SHA256:{digits}", digits.replace(":", "")):
            assert look(fingerprint=text)["empty_slots"] == 3
        result = look(fingerprint="0" * 64)
        assert "another certificate" in result["msg"]
        assert digits in result["msg"]
        assert "fingerprint must be" in look(fingerprint="0" * 63)["msg"]
        assert "cannot be used" in look(ca_file=str(tmp_path / "none"))["msg"]
        assert "mutually exclusive" in look(ca_file="x", fingerprint="0" * 64)["msg"]
