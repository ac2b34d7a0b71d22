"""One image to several appliances at once, over an origin's line that all of them share.

All appliances get the request at the same moment, with a URL at the origin or at a cache in front
of it. The program prints, for each number of appliances, the bytes that the origin sent and the
time until the last appliance had the image. Each run has a new image, so the cache is cold.
"""

import argparse
import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.programs.bench.report import Table
from scripts.programs.docs.run import ROOT, renewed
from testbed import fleet_cache as cache
from testbed.fleet_cache import CountingServer
from testbed.fleet_site import Appliance, site, state_with_user

DOCUMENT = ROOT / "docs" / "fleet.md"
RELAY = ROOT / "scripts" / "programs" / "bench" / "relay.py"
FETCH = "/api/firmware/fetch"
MIB = 1024 * 1024
LOOK_S = 0.05
LIMIT_S = 600.0


@dataclass(frozen=True, slots=True)
class Run:
    """One image to ``appliances``; ``sent`` is what the origin sent, in multiples of the image."""

    appliances: int
    cached: bool
    sent: float
    seconds: float


@dataclass(frozen=True)
class Fleet:
    """The appliances, the origin, the URL of its line, and the cache in front of it."""

    appliances: Sequence[Appliance]
    origin: CountingServer
    line: str
    front: CountingServer
    image_bytes: int

    def run(self, number: int, *, cached: bool) -> Run:
        """Bring a new image to ``number`` appliances.

        Raises:
            SystemExit: a download failed, or not all were finished after LIMIT_S.
        """
        image = os.urandom(self.image_bytes)
        sha256 = hashlib.sha256(image).hexdigest()
        path = f"/{sha256[:16]}.iso"
        self.origin.server.put(path[1:], image)
        before = self.origin.bytes_sent()
        url = self.front.url(path) if cached else self.line + path
        chosen = self.appliances[:number]
        with ThreadPoolExecutor(number) as pool:
            clients = list(pool.map(Appliance.client, chosen))
            began = time.monotonic()
            body = {"url": url, "checksum": {"sha256": sha256}}
            responses = pool.map(lambda client: client.call("POST", FETCH, json_body=body), clients)
            keys = [response.document["key"] for response in responses]
            waiting = dict(zip(keys, clients, strict=True))
            slots = {}
            while waiting:
                if time.monotonic() - began > LIMIT_S:
                    raise SystemExit(f"fleet: not over after {LIMIT_S:.0f} s")
                time.sleep(LOOK_S)
                for key, client in list(waiting.items()):
                    job = client.call("GET", f"{FETCH}/{key}").document["body"]
                    if job["status"] == "failed":
                        raise SystemExit(f"fleet: a download has failed: {job['error']}")
                    if job["status"] == "finished":
                        slots[key] = job["slot_id"]
                        del waiting[key]
            seconds = time.monotonic() - began
            for key, client in zip(keys, clients, strict=True):
                client.call("DELETE", f"/api/firmware/slots/{slots[key]}")
        (self.origin.server.root / path[1:]).unlink()
        sent = (self.origin.bytes_sent() - before) / len(image)
        return Run(number, cached, sent, seconds)


@contextmanager
def line(server_port: int, bytes_per_s: float) -> Iterator[str]:
    """Start the relay that limits the rate of all connections together; gives its URL."""
    process = subprocess.Popen(
        [sys.executable, RELAY, str(server_port), str(bytes_per_s), "0", "shared"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        if process.stdout is None:
            raise RuntimeError("the line has no output")
        with process.stdout:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.kill()
        process.wait()


def measured(
    directory: Path, numbers: Sequence[int], *, image_bytes: int, bytes_per_s: float, rounds: int
) -> list[Run]:
    """Runs with every number of appliances; each round has each of them with and without cache."""
    state = directory / "state"
    state.mkdir()
    with ExitStack() as stack:
        origin = stack.enter_context(cache.origin())
        url = stack.enter_context(line(origin.server.port, bytes_per_s))
        front = stack.enter_context(cache.cache(url))
        names = [f"appliance-{number}" for number in range(1, max(numbers) + 1)]
        appliances = stack.enter_context(site(directory, names, state_with_user(state))).appliances
        fleet = Fleet(list(appliances.values()), origin, url, front, image_bytes)
        fleet.run(1, cached=True)  # not measured: the first run includes work that is done once
        return [
            fleet.run(number, cached=cached)
            for _ in range(rounds)
            for number in numbers
            for cached in (False, True)
        ]


def table(runs: Sequence[Run]) -> Table:
    """Medians over the rounds; times as ratios to one appliance without the cache."""

    def median(number: int, *, cached: bool) -> tuple[float, float]:
        chosen = [run for run in runs if (run.appliances, run.cached) == (number, cached)]
        sent = statistics.median(run.sent for run in chosen)
        return sent, statistics.median(run.seconds for run in chosen)

    numbers = sorted({run.appliances for run in runs})
    _, alone_s = median(numbers[0], cached=False)
    rows = []
    for number in numbers:
        for cached in (False, True):
            sent, seconds = median(number, cached=cached)
            word = "with" if cached else "without"
            rows.append((str(number), word, f"{sent:.2f}", f"{seconds / alone_s:.2f}"))
    head = ("Appliances", "Cache", "The origin sent, in images", "Time, to one without cache")
    return Table(head, rows)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/fleet", description=__doc__)
    parser.add_argument("--appliances", type=int, nargs="+", default=[1, 5, 20], metavar="N")
    parser.add_argument("--image-mib", type=int, default=64, metavar="N")
    parser.add_argument(
        "--line-mib", type=float, default=32, metavar="N", help="the origin's line, in MiB/s"
    )
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--write", action="store_true", help="put the table into docs/fleet.md")
    options = parser.parse_args(arguments)
    if not cache.available():
        print("fleet: Debian's package nginx-light is not installed", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="spsd-fleet-") as directory:
        runs = measured(
            Path(directory),
            options.appliances,
            image_bytes=options.image_mib * MIB,
            bytes_per_s=options.line_mib * MIB,
            rounds=options.rounds,
        )
    conditions = (
        f"An image of {options.image_mib} MiB, and an origin whose line carries "
        f"{options.line_mib:g} MiB/s for all connections together. "
        "All appliances get the request at the same moment. "
        f"Medians of {options.rounds} rounds, on one machine of {os.cpu_count()} cores."
    )
    report = f"{conditions}\n\n{table(runs).markdown()}"
    print(report)
    if options.write:
        text = DOCUMENT.read_text(encoding="utf-8")
        DOCUMENT.write_text(renewed(text, "fleet", report), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
