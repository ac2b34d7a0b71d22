"""The rolling update: waves, the threshold, going on, check mode, and Ctrl-C."""

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
    with ThreadedOrigin(Origin({"/image": IMAGE})) as made:
        yield made


def image(origin: ThreadedOrigin) -> dict[str, object]:
    return {"firmware_url": origin.url("/image"), "firmware_sha256": DIGEST}


def who_runs_it(made: Site) -> set[str]:
    return {name for name, one in made.appliances.items() if one.running() is not None}


@needs_root
def test_the_threshold_and_going_on(tmp_path: Path, state: Path, origin: ThreadedOrigin) -> None:
    names = ["canary", "good", "down", "full", "locked", "last"]
    (tmp_path / "full").mkdir()
    with (
        small_disk(tmp_path / "full" / "state", 32) as disk,
        site(tmp_path, names, state) as made,
    ):
        waves = {"firmware_waves": [1, 4, "100%"], "firmware_max_fail_percentage": 25}
        made.appliances["down"].kill()
        fill(disk)
        made.variables["locked"] = {"spsd_password": "battery staple"}

        stopped = made.rolling(**image(origin), **waves)
        assert stopped.status != 0
        why = stopped.failures()
        assert why.keys() == {"down", "full", "locked"}
        assert "cannot be reached" in why["down"]
        assert "disk_full" in why["full"], why
        assert "rejects the log-in (401)" in why["locked"]
        for name in why:
            assert f"[{name}]: FAILED!" in stopped.out, "it names them"
        # Nobody of that wave restarts, and nobody of the next one hears of it.
        canary, good, last = (made.appliances[name] for name in ("canary", "good", "last"))
        assert [one.running() for one in (canary, good, last)] == [1, None, None]
        assert good.slot_image(1).read_bytes() == IMAGE
        assert last.jobs() == []
        assert "last" not in stopped.stats

        free_again(disk)
        made.appliances["down"].start()
        made.appliances["locked"].add_user("second", PASSWORD)
        made.variables["locked"] = {"spsd_username": "second"}
        done = made.rolling(**image(origin), **waves)
        assert done.status == 0, done.out
        assert who_runs_it(made) == set(names)
        assert [done.stats[name]["changed"] for name in names] == [0, 1, 2, 2, 2, 2]


def test_the_canary_alone_stops_it(tmp_path: Path, state: Path, origin: ThreadedOrigin) -> None:
    with site(tmp_path, ["canary", "other"], state) as made:
        hook = tmp_path / "hook"
        hook.write_text("#!/bin/sh\necho no room for it\nexit 1\n")
        hook.chmod(0o755)
        made.appliances["canary"].change({"upgrade": {"test_hooks": [str(hook)]}})
        made.appliances["canary"].restart()
        stopped = made.rolling(**image(origin))
        assert stopped.status != 0
        assert stopped.failures().keys() == {"canary"}
        assert "no room for it" in stopped.out
        assert who_runs_it(made) == set()
        assert made.appliances["other"].jobs() == []


def test_check_mode_tells_what_will_be_changed(
    tmp_path: Path, state: Path, origin: ThreadedOrigin
) -> None:
    def documents(made: Site) -> list[object]:
        clients = [one.client() for one in made.appliances.values()]
        paths = ("/api/firmware/fetch", "/api/firmware/slots")
        return [client.call("GET", path).document for client in clients for path in paths]

    with site(tmp_path, ["done", "fetched", "new"], state) as made:
        fetch = {"url": origin.url("/image"), "sha256": DIGEST}
        for name in ("done", "fetched"):
            assert made.module("firmware_fetch", name, **fetch)["changed"]
        with made.restarting():
            assert made.module("firmware_upgrade", "done", sha256=DIGEST)["changed"]

        before = documents(made)
        everyone = {"firmware_waves": ["100%"]}
        said = made.rolling("--check", "--diff", **image(origin), **everyone)
        assert said.status == 0, said.out
        assert documents(made) == before
        done = made.rolling(**image(origin), **everyone)
        assert done.status == 0, done.out
        tasks = [
            {host: sum(changed.values()) for host, changed in play.changed().items()}
            for play in (said, done)
        ]
        assert tasks == [{"done": 0, "fetched": 1, "new": 2}] * 2
        assert said.changed().keys() == done.changed().keys()
        for host, changed in said.changed().items():
            assert changed.items() <= done.changed()[host].items(), host
        after = made.rolling("--check", **image(origin), **everyone)
        assert after.status == 0, after.out
        assert after.totals()["changed"] == 0


def test_ctrl_c_cancels_what_it_waits_for(
    tmp_path: Path, state: Path, origin: ThreadedOrigin
) -> None:
    origin.script(*[Hang(1000)] * 100)
    with (
        site(tmp_path, ["one", "two"], state) as made,
        made.playing(
            "spsd.appliance.rolling_update", **image(origin), firmware_waves=["100%"]
        ) as process,
    ):
        origin.wait_for_requests(2, timeout_s=120)
        os.killpg(process.pid, signal.SIGINT)
        out, _ = process.communicate()
        assert process.returncode != 0, out
        for one in made.appliances.values():
            assert [job["body"]["status"] for job in one.jobs()] == ["cancelled"]
            assert one.staged() == []
