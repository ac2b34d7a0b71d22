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
"""How many with `--long`, and without."""

pytestmark = [
    needs.program("nginx"),
    pytest.mark.timeout(600),
]


def everybody_runs_it(made: Site) -> None:
    for name, appliance in made.appliances.items():
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
        site(tmp_path, names, state) as made,
    ):
        origin.server.put("image.iso", IMAGE)
        image = {"firmware_url": front.url("/image.iso"), "firmware_sha256": DIGEST}
        done = made.rolling(**image, firmware_waves=[1, 4, "100%"])
        assert done.status == 0, done.out
        everybody_runs_it(made)
        assert {host: one["changed"] for host, one in done.stats.items()} == dict.fromkeys(names, 2)
        assert len(IMAGE) <= origin.bytes_sent() <= 1.1 * len(IMAGE)
        assert front.bytes_sent() >= count * len(IMAGE)

        asked = origin.requests(), front.requests()
        again = made.rolling(**image, firmware_waves=["100%"])
        assert again.status == 0, again.out
        assert again.totals()["changed"] == 0
        assert again.out.count("changed=0 ") == count, "it says so"
        assert (origin.requests(), front.requests()) == asked
        assert all(len(one.jobs()) == 1 for one in made.appliances.values())
    tally("appliances of a rolling update, an image once from its origin", count)


def test_a_cache_that_lies_is_left(tmp_path: Path, state: Path) -> None:
    with (
        cache.origin() as origin,
        cache.cache(origin.url("")) as front,
        site(tmp_path, ["one", "two", "three"], state) as made,
    ):
        origin.server.put("image.iso", IMAGE)
        sources = {"url": front.url("/image.iso"), "sha256": DIGEST}
        assert made.module("firmware_fetch", "one", **sources)["changed"]
        spoilt = spoil(front.server.root.parent / "cache")
        assert spoilt > 0
        told = made.module("firmware_fetch", "two", **sources)
        assert (told["failed"], told["code"]) == (True, "digest")
        sources["mirrors"] = [origin.url("/image.iso")]
        assert made.module("firmware_fetch", "three", **sources)["slot"] == 1
        assert made.appliances["three"].slot_image(1).read_bytes() == IMAGE


def test_the_cache_as_the_proxy(tmp_path: Path, state: Path) -> None:
    with cache.origin() as origin, cache.cache(origin.url("")) as front:
        origin.server.put("image.iso", IMAGE)
        proxy = {"fetch": {"proxy": front.url(""), "no_proxy": []}}
        with site(tmp_path, ["one", "two"], state, proxy) as made:
            for name in made.appliances:
                # The origin is a name that only the cache has to know.
                told = made.module(
                    "firmware_fetch",
                    name,
                    url="http://images.example.org/image.iso",
                    sha256=DIGEST,
                )
                assert told["slot"] == 1, told
        assert len(IMAGE) <= origin.bytes_sent() <= 1.1 * len(IMAGE)


def spoil(directory: Path) -> int:
    """Change the last byte of every piece that the cache keeps; gives how many."""
    pieces = [path for path in directory.rglob("*") if path.is_file()]
    for path in pieces:
        with path.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            last = file.read(1)
            file.seek(-1, os.SEEK_END)
            file.write(bytes([last[0] ^ 1]))
    return len(pieces)
