"""Mutated replies over real sockets: an attempt ends with an error of the origin, or with bytes."""

import asyncio
import logging
import ssl
from collections import Counter
from pathlib import Path

import pytest

from spsd.failures import FailureCode
from spsd.system.certificate import ensure_self_signed
from spsd.transfer.http.addresses import AddressPolicy
from spsd.transfer.http.origin import Limits, open_origin
from spsd.transfer.http.tls import Trust
from tests.tally import Tally
from tests.transfer.http.fuzzing import attempt, serving

AT_ONCE = 32
STUCK_S = 30.0
"""Far above the stall window of half a second, also for many replies on a busy machine."""
LIMITS = Limits(
    connect_timeout_s=2, minimum_bytes_per_s=1, stall_window_s=0.5, rate_limit_bytes_per_s=0
)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    certificate, key = ensure_self_signed(tmp_path_factory.mktemp("tls"), hostname="origin")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


async def fuzz(seeds: range, root: Path, tls: ssl.SSLContext | None) -> Counter[str]:
    """The results of the seeds, counted by failure code; "bytes": the attempt succeeded."""
    results: Counter[str] = Counter()
    trust = await asyncio.to_thread(Trust.for_policy, "checksum", None)
    policy = AddressPolicy(["127.0.0.0/8"])
    waiting = iter(seeds)
    async with serving(tls) as server, open_origin(policy, trust, LIMITS) as origin:
        scheme = "http" if tls is None else "https"

        async def work() -> None:
            for seed in waiting:
                try:
                    async with asyncio.timeout(STUCK_S):
                        url = f"{scheme}://127.0.0.1:{server.port}/{seed}"
                        error = await attempt(seed, url, origin, root)
                except Exception as raised:
                    raised.add_note(f"seed {seed}, {scheme}")
                    raise
                results["bytes" if error is None else error.code] += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(work())
    return results


@pytest.mark.timeout(600)
@pytest.mark.parametrize("way", ["plain", "TLS"])
async def test_mutated_replies(
    tmp_path: Path,
    tls: ssl.SSLContext,
    way: str,
    caplog: pytest.LogCaptureFixture,
    request: pytest.FixtureRequest,
    tally: Tally,
) -> None:
    count = 2_000 if request.config.getoption("--long") else 120
    with caplog.at_level(logging.INFO):
        results = await fuzz(range(count), tmp_path, tls if way == "TLS" else None)
    assert results.total() == count
    # The mutations reach what they should: the sample has each of these results.
    for result in ("bytes", FailureCode.PROTOCOL, FailureCode.CUT_OFF, FailureCode.STALL):
        assert results[result] > 0, results
    assert FailureCode.INTERNAL not in results
    for record in caplog.records:
        assert record.levelno < logging.ERROR, record.getMessage()
        assert "secret" not in record.getMessage()
    tally("mutated replies of an origin, each to bytes or one clear error", count)
