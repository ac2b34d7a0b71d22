"""Appliances that get a request at the same moment send theirs to the origin at spread times."""

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
"""Two appliances whose turns differ by more keep their order.

Less is not certain: the time of a job is recorded in whole seconds.
"""


def test_appliances_request_in_the_order_of_their_turns(tmp_path: Path, state: Path) -> None:
    names = [f"appliance-{number}" for number in range(6)]
    with (
        ThreadedOrigin(Origin({f"/{name}": IMAGE for name in names})) as origin,
        site(tmp_path, names, state, {"fetch": {"start_spread_s": OVER_S}}) as fleet,
    ):
        clients = {name: appliance.client() for name, appliance in fleet.appliances.items()}
        for name, client in clients.items():
            body = {"url": origin.url(f"/{name}"), "checksum": {"sha256": DIGEST}}
            assert client.call("POST", "/api/firmware/fetch", json_body=body).status == 202
        origin.wait_for_requests(len(names), timeout_s=60)
        order = [request.path.lstrip("/") for request in origin.requests]
        turns = {
            name: StartSpread(this_appliance().identity(appliance.state), OVER_S).wait_s(
                DIGEST, submitted_at=0, now=0
            )
            for name, appliance in fleet.appliances.items()
        }
    pairs = [
        pair for pair in combinations(names, 2) if abs(turns[pair[0]] - turns[pair[1]]) > APART_S
    ]
    for pair in pairs:
        first, second = sorted(pair, key=turns.__getitem__)
        assert order.index(first) < order.index(second), turns
