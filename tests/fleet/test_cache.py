"""Many appliances, one cache, one origin: each byte of the image leaves the origin once."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from testbed import fleet_cache as cache
from testbed import needs
from testbed.fleet_site import Site, site

IMAGE = os.urandom(40 * 1024 * 1024)
DIGEST = hashlib.sha256(IMAGE).hexdigest()
APPLIANCES, SAMPLE = 20, 6
"""Number of appliances with `--long`, and without."""

pytestmark = [
    needs.program("nginx"),
    pytest.mark.timeout(600),
]


def assert_all_run_the_image(fleet: Site) -> None:
    for name, appliance in fleet.appliances.items():
        running = appliance.running()
        assert running is not None, name
        content = appliance.slot_image(running).read_bytes()
        assert hashlib.sha256(content).hexdigest() == DIGEST, name


def test_one_image_to_many_appliances(
    tmp_path: Path, state: Path, tally: Callable[..., None], request: pytest.FixtureRequest
) -> None:
    count = APPLIANCES if request.config.getoption("--long") else SAMPLE
    names = [f"appliance-{number}" for number in range(1, count + 1)]
    with (
        cache.origin() as origin,
        cache.cache(origin.url("")) as front,
        site(tmp_path, names, state) as fleet,
    ):
        origin.server.put("image.iso", IMAGE)
        image = {"firmware_url": front.url("/image.iso"), "firmware_sha256": DIGEST}
        done = fleet.rolling(**image, firmware_waves=[1, 4, "100%"])
        assert done.status == 0, done.out
        assert_all_run_the_image(fleet)
        changes = {host: stats["changed"] for host, stats in done.stats.items()}
        assert changes == dict.fromkeys(names, 2)
        assert len(IMAGE) <= origin.bytes_sent() <= 1.1 * len(IMAGE)
        assert front.bytes_sent() >= count * len(IMAGE)

        requests = origin.requests(), front.requests()
        again = fleet.rolling(**image, firmware_waves=["100%"])
        assert again.status == 0, again.out
        assert again.totals()["changed"] == 0
        assert again.out.count("changed=0 ") == count, "the output has it for each appliance"
        assert (origin.requests(), front.requests()) == requests
        assert all(len(appliance.jobs()) == 1 for appliance in fleet.appliances.values())
    tally("appliances of a rolling update, an image once from its origin", count)


def test_a_mirror_replaces_a_cache_with_wrong_bytes(tmp_path: Path, state: Path) -> None:
    with (
        cache.origin() as origin,
        cache.cache(origin.url("")) as front,
        site(tmp_path, ["one", "two", "three"], state) as fleet,
    ):
        origin.server.put("image.iso", IMAGE)
        sources = {"url": front.url("/image.iso"), "sha256": DIGEST}
        assert fleet.module("firmware_fetch", "one", **sources)["changed"]
        assert corrupt(front.server.root.parent / "cache") > 0
        result = fleet.module("firmware_fetch", "two", **sources)
        assert (result["failed"], result["code"]) == (True, "digest")
        sources["mirrors"] = [origin.url("/image.iso")]
        assert fleet.module("firmware_fetch", "three", **sources)["slot"] == 1
        assert fleet.appliances["three"].slot_image(1).read_bytes() == IMAGE


def test_the_cache_as_the_proxy(tmp_path: Path, state: Path) -> None:
    with cache.origin() as origin, cache.cache(origin.url("")) as front:
        origin.server.put("image.iso", IMAGE)
        proxy = {"fetch": {"proxy": front.url(""), "no_proxy": []}}
        with site(tmp_path, ["one", "two"], state, proxy) as fleet:
            for name in fleet.appliances:
                # Only the cache resolves the name of the origin.
                result = fleet.module(
                    "firmware_fetch",
                    name,
                    url="http://images.example.org/image.iso",
                    sha256=DIGEST,
                )
                assert result["slot"] == 1, result
        assert len(IMAGE) <= origin.bytes_sent() <= 1.1 * len(IMAGE)


def corrupt(directory: Path) -> int:
    """Change the last byte of every file of the cache; gives the number of files."""
    files = [path for path in directory.rglob("*") if path.is_file()]
    for path in files:
        with path.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            last = file.read(1)
            file.seek(-1, os.SEEK_END)
            file.write(bytes([last[0] ^ 1]))
    return len(files)
