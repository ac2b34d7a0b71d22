"""Mirrors of a job: they survive a kill, and the history names them without secrets."""

import hashlib
from pathlib import Path

from spsd.testing.origin import Hang, Origin, Status
from testbed.driver import FETCH, running
from testbed.iso import build_iso


async def test_a_mirror_continues_after_a_kill_and_no_secret_is_shown(tmp_path: Path) -> None:
    iso = build_iso(tmp_path / "image.iso", size=3_000_000)
    digest = hashlib.sha256(iso.read_bytes()).hexdigest()
    async with (
        Origin({"/image.iso": iso}, [Hang(2_000_000)], always=Status(404)) as first,
        Origin({"/image.iso": iso}) as second,
        running(tmp_path) as daemon,
    ):
        mirror = second.url("/image.iso").replace("http://", "http://user:secret@")
        order = {
            "url": first.url("/image.iso"),
            "mirrors": [f"{mirror}?token=secret"],
            "checksum": {"sha256": digest},
        }
        status, accepted = await daemon.call("POST", FETCH, json=order)
        assert status == 202, accepted
        key = accepted["key"]
        await daemon.until(key, lambda body: body["bytes_downloaded"] > 0)
        await daemon.kill()
        await daemon.start()
        body = await daemon.over(key)
        assert body["status"] == "finished", body
        assert body["url"] == order["url"]
        assert len(body) == 8
        assert daemon.image(body["slot_id"]).read_bytes() == iso.read_bytes()
        # The validators of the first origin do not apply to the mirror: bytes are compared.
        [_, refused], [compared, served] = first.requests, second.requests
        assert compared.range == "bytes=0-65535"
        prefix = int(refused.range.removeprefix("bytes=").removesuffix("-"))
        assert served.range == f"bytes={prefix - min(prefix // 4, 65536)}-"
        assert served.status == 206
        _, history = await daemon.call("GET", f"{FETCH}/{key}/history")
        transitions = history["body"]["history"]
        [evidence] = [entry["evidence"] for entry in transitions if entry["cause"] == "verify"]
        assert f"an earlier run and 127.0.0.1:{second.port}" in evidence
        assert "secret" not in str(history)
        assert await daemon.stop() == 0
