"""The daemon on each of its event loops; what matters is done once on either."""

import hashlib
import signal
import sys
from pathlib import Path

import pytest

from spsd import event_loop
from spsd.domain.errors import ConfigurationError
from spsd.testing.origin import Drip, Origin
from tests.daemon.driver import running

CONTENT = bytes(range(256)) * 20_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_a_life_on_either_loop(loop: str, tmp_path: Path) -> None:
    hook = tmp_path / "hook"
    hook.write_text("#!/bin/sh\necho seen $SPSD_SLOT\n")
    hook.chmod(0o755)
    async with (
        Origin({"/a": CONTENT}, [Drip(100_000, 0.1)] * 2) as origin,
        running(
            tmp_path,
            server={"event_loop": loop},
            slots={"accept": "any"},
            upgrade={"test_hooks": [str(hook)]},
            tls=False,
        ) as daemon,
    ):
        assert daemon.process is not None
        maps = Path(f"/proc/{daemon.process.pid}/maps").read_text()
        assert ("uvloop" in maps) == (loop == "uvloop")
        # A cancel in mid-drip.
        key = await daemon.submit(origin.url("/a"), SHA256)
        await daemon.until(key, lambda body: body["bytes_downloaded"] > 0)
        assert (await daemon.call("DELETE", f"/api/firmware/fetch/{key}"))[0] == 200
        assert (await daemon.over(key))["status"] == "cancelled"
        # A kill in mid-download, and a reload.
        key = await daemon.submit(origin.url("/a"), SHA256)
        await daemon.until(key, lambda body: body["bytes_downloaded"] > 0)
        daemon.process.send_signal(signal.SIGHUP)
        await daemon.kill()
        await daemon.start()
        assert (await daemon.over(key))["status"] == "finished"
        assert daemon.image(1).read_bytes() == CONTENT
        status, tested = await daemon.call("POST", "/api/firmware/test", json={"slot_id": 1})
        assert status == 200, tested
        assert "seen 1" in str(tested)
        assert await daemon.stop() == 0


def test_which_loop_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def name(wanted: event_loop.Wanted) -> str:
        return event_loop.loop_factory(wanted).__module__

    assert name("auto") == name("uvloop") == "uvloop"
    assert name("asyncio").startswith("asyncio")
    monkeypatch.setattr(event_loop.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert name("auto") == name("asyncio")
    with pytest.raises(ConfigurationError, match="not installed: pip install"):
        event_loop.loop_factory("uvloop")
