"""Appliances that are told in one moment ask their origin one after the other."""

import hashlib
from itertools import combinations
from pathlib import Path

from spsd.digest import Sha256
from spsd.jobs.start_spread import StartSpread
from spsd.system.host import this_appliance
from spsd.testing.origin import Origin
from spsd.testing.origin.threaded import ThreadedOrigin
from testbed.fleet_site import site

IMAGE = b"image" * 1000
DIGEST = Sha256(hashlib.sha256(IMAGE).hexdigest())
OVER_S = 4.0
APART_S = 1.5
"""Whoever is to ask so much earlier does: the whole second of the request is rounded off."""


def test_they_ask_in_the_order_of_their_turns(tmp_path: Path, state: Path) -> None:
    names = [f"appliance-{number}" for number in range(6)]
    with (
        ThreadedOrigin(Origin({f"/{name}": IMAGE for name in names})) as origin,
        site(tmp_path, names, state, {"fetch": {"start_spread_s": OVER_S}}) as made,
    ):
        clients = {name: one.client() for name, one in made.appliances.items()}
        for name, client in clients.items():
            order = {"url": origin.url(f"/{name}"), "checksum": {"sha256": DIGEST}}
            assert client.call("POST", "/api/firmware/fetch", json_body=order).status == 202
        origin.wait_for_requests(len(names), timeout_s=60)
        asked = [one.path.lstrip("/") for one in origin.requests]
        turns = {
            name: StartSpread(this_appliance().identity(one.state), OVER_S).wait_s(
                DIGEST, submitted_at=0, now=0
            )
            for name, one in made.appliances.items()
        }
    pairs = [
        pair for pair in combinations(names, 2) if abs(turns[pair[0]] - turns[pair[1]]) > APART_S
    ]
    for pair in pairs:
        first, second = sorted(pair, key=turns.__getitem__)
        assert asked.index(first) < asked.index(second), turns
