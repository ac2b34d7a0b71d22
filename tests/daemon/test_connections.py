"""A download over several connections by a daemon that is killed."""

import hashlib
import os
from pathlib import Path

from spsd.testing.origin import Drip, Origin
from testbed.driver import running

MIB = 2**20
IMAGE = os.urandom(8 * MIB)
SLOW = Drip(64 * 1024, 0.05)
"""About 1.3 MB a second for each connection."""


async def test_a_kill_leaves_a_prefix_that_the_next_start_continues(tmp_path: Path) -> None:
    sha256 = hashlib.sha256(IMAGE).hexdigest()
    settings = {"fetch": {"connections": 4}, "slots": {"accept": "any"}}
    async with (
        Origin({"/image": IMAGE}, always=SLOW) as origin,
        running(tmp_path, **settings) as daemon,
    ):
        key = await daemon.submit(origin.url("/image"), sha256)
        await daemon.until(key, lambda body: body["bytes_downloaded"] > 3 * MIB)
        before = len(origin.requests)
        assert before >= 4
        await daemon.kill()
        [name] = daemon.staged()
        prefix = (daemon.state / "staging" / name / "image").read_bytes()
        assert IMAGE.startswith(prefix)
        assert prefix
        await daemon.start()
        body = await daemon.over(key)
        assert body["status"] == "finished", body
        again = origin.requests[before]
        assert (again.range, again.status) == (f"bytes={len(prefix)}-", 206)
        assert again.if_range is not None
        assert daemon.image(body["slot_id"]).read_bytes() == IMAGE
        assert daemon.staged() == []
