"""The rolling update: waves, the failure threshold, a second run, check mode, and Ctrl-C."""

import hashlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from spsd.testing.daemon import PASSWORD
from spsd.testing.origin import Hang, Origin
from spsd.testing.origin.threaded import ThreadedOrigin
from testbed.fleet_site import Site, site
from tests.disk import fill, free_again, needs_root, small_disk

IMAGE = os.urandom(1024 * 1024)
DIGEST = hashlib.sha256(IMAGE).hexdigest()

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def origin() -> Iterator[ThreadedOrigin]:
    with ThreadedOrigin(Origin({"/image": IMAGE})) as started:
        yield started


def image(origin: ThreadedOrigin) -> dict[str, object]:
    return {"firmware_url": origin.url("/image"), "firmware_sha256": DIGEST}


def running_the_image(fleet: Site) -> set[str]:
    return {name for name, appliance in fleet.appliances.items() if appliance.running() is not None}


@needs_root
def test_the_threshold_stops_and_a_second_run_completes(
    tmp_path: Path, state: Path, origin: ThreadedOrigin
) -> None:
    names = ["canary", "good", "down", "full", "locked", "last"]
    (tmp_path / "full").mkdir()
    with (
        small_disk(tmp_path / "full" / "state", 32) as disk,
        site(tmp_path, names, state) as fleet,
    ):
        waves = {"firmware_waves": [1, 4, "100%"], "firmware_max_fail_percentage": 25}
        fleet.appliances["down"].kill()
        fill(disk)
        fleet.variables["locked"] = {"spsd_password": "battery staple"}

        stopped = fleet.rolling(**image(origin), **waves)
        assert stopped.status != 0
        failures = stopped.failures()
        assert failures.keys() == {"down", "full", "locked"}
        assert "cannot be reached" in failures["down"]
        assert "disk_full" in failures["full"], failures
        assert "rejects the log-in (401)" in failures["locked"]
        for name in failures:
            assert f"[{name}]: FAILED!" in stopped.out, "the output names them"
        # No appliance of that wave restarts, and no appliance of the next wave gets a request.
        canary, good, last = (fleet.appliances[name] for name in ("canary", "good", "last"))
        assert [appliance.running() for appliance in (canary, good, last)] == [1, None, None]
        assert good.slot_image(1).read_bytes() == IMAGE
        assert last.jobs() == []
        assert "last" not in stopped.stats

        free_again(disk)
        fleet.appliances["down"].start()
        fleet.appliances["locked"].add_user("second", PASSWORD)
        fleet.variables["locked"] = {"spsd_username": "second"}
        done = fleet.rolling(**image(origin), **waves)
        assert done.status == 0, done.out
        assert running_the_image(fleet) == set(names)
        assert [done.stats[name]["changed"] for name in names] == [0, 1, 2, 2, 2, 2]


def test_a_failed_canary_stops_the_update(
    tmp_path: Path, state: Path, origin: ThreadedOrigin
) -> None:
    with site(tmp_path, ["canary", "other"], state) as fleet:
        hook = tmp_path / "hook"
        hook.write_text("#!/bin/sh\necho no room for it\nexit 1\n")
        hook.chmod(0o755)
        fleet.appliances["canary"].change({"upgrade": {"test_hooks": [str(hook)]}})
        fleet.appliances["canary"].restart()
        stopped = fleet.rolling(**image(origin))
        assert stopped.status != 0
        assert stopped.failures().keys() == {"canary"}
        assert "no room for it" in stopped.out
        assert running_the_image(fleet) == set()
        assert fleet.appliances["other"].jobs() == []


def test_check_mode_predicts_the_changes(
    tmp_path: Path, state: Path, origin: ThreadedOrigin
) -> None:
    def documents(fleet: Site) -> list[object]:
        clients = [appliance.client() for appliance in fleet.appliances.values()]
        paths = ("/api/firmware/fetch", "/api/firmware/slots")
        return [client.call("GET", path).document for client in clients for path in paths]

    with site(tmp_path, ["done", "fetched", "new"], state) as fleet:
        fetch = {"url": origin.url("/image"), "sha256": DIGEST}
        for name in ("done", "fetched"):
            assert fleet.module("firmware_fetch", name, **fetch)["changed"]
        with fleet.restarting():
            assert fleet.module("firmware_upgrade", "done", sha256=DIGEST)["changed"]

        before = documents(fleet)
        one_wave = {"firmware_waves": ["100%"]}
        checked = fleet.rolling("--check", "--diff", **image(origin), **one_wave)
        assert checked.status == 0, checked.out
        assert documents(fleet) == before
        done = fleet.rolling(**image(origin), **one_wave)
        assert done.status == 0, done.out
        tasks = [
            {host: sum(changed.values()) for host, changed in play.changed().items()}
            for play in (checked, done)
        ]
        assert tasks == [{"done": 0, "fetched": 1, "new": 2}] * 2
        assert checked.changed().keys() == done.changed().keys()
        for host, changed in checked.changed().items():
            assert changed.items() <= done.changed()[host].items(), host
        after = fleet.rolling("--check", **image(origin), **one_wave)
        assert after.status == 0, after.out
        assert after.totals()["changed"] == 0


def test_ctrl_c_cancels_the_downloads_it_waits_for(
    tmp_path: Path, state: Path, origin: ThreadedOrigin
) -> None:
    origin.script(*[Hang(1000)] * 100)
    with (
        site(tmp_path, ["one", "two"], state) as fleet,
        fleet.playing(
            "spsd.appliance.rolling_update", **image(origin), firmware_waves=["100%"]
        ) as process,
    ):
        origin.wait_for_requests(2, timeout_s=120)
        os.killpg(process.pid, signal.SIGINT)
        out, _ = process.communicate()
        assert process.returncode != 0, out
        for appliance in fleet.appliances.values():
            assert [job["body"]["status"] for job in appliance.jobs()] == ["cancelled"]
            assert appliance.staged() == []
