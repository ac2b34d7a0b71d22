"""Boots the daemon on the remainder of a power cut, in this process, and observes the result."""

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

from scripts.programs.powercut.daemon import LIMITS, appliance
from scripts.programs.powercut.promises import Observation
from scripts.programs.powercut.record import (
    FETCH,
    OVER,
    PASSWORD,
    UNVERIFIED,
    USER,
    served_certificate,
    write_config,
)
from spsd.config import Settings, load
from spsd.daemon import open_daemon
from spsd.testing.client import Client
from spsd.testing.origin import ThreadedOrigin

LIMIT_S = 30.0


class BootError(Exception):
    """The daemon did not start, or ended, or a job did not end within the limit."""


@contextmanager
def log_lines() -> Iterator[list[str]]:
    """The messages that the daemon logs within this context."""
    lines: list[str] = []

    class ListHandler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    root, handler = logging.getLogger("spsd"), ListHandler()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    root.propagate = False
    try:
        yield lines
    finally:
        root.removeHandler(handler)


def observe(
    root: Path, origin: ThreadedOrigin, cookie: str | None, *, plain: bool = True
) -> Observation:
    """Boot on ``root/state``, wait for the end of every job, observe, and stop.

    Raises:
        BootError: the daemon did not start, ended, or a job did not end.
    """
    config = root / "spsd.toml"
    write_config(config, root / "state", plain=plain)
    return asyncio.run(_observe(root, load(config), origin, cookie))


async def _observe(
    root: Path, settings: Settings, origin: ThreadedOrigin, cookie: str | None
) -> Observation:
    opening = open_daemon(settings, appliance=appliance("after the cut"), limits=LIMITS)
    querying = None
    try:
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(LIMIT_S):
                daemon = await stack.enter_async_context(opening)
            client = Client(daemon.url, UNVERIFIED, cookie=cookie)
            querying = asyncio.create_task(asyncio.to_thread(_query, client, root, origin))
            return await asyncio.shield(querying)
    except BootError:
        raise
    except Exception as error:
        raise BootError(f"the daemon did not start, or ended: {error!r}") from error
    finally:
        if querying is not None:
            # If the daemon has ended, the next request of the client fails, and its thread ends.
            await asyncio.wait([querying])
            querying.exception()


def _query(client: Client, root: Path, origin: ThreadedOrigin) -> Observation:
    before = origin.bytes_sent
    logged_in = session = client.call("GET", FETCH).status == 200
    if not session:
        client.cookie = None
        logged_in = client.log_in(USER, PASSWORD).status == 200
    jobs, shown, current = {}, {}, None
    if logged_in:
        items = _ended_jobs(client)
        jobs = {item["key"]: item["body"] for item in items}
        slots = client.call("GET", "/api/firmware/slots").document
        shown = {int(item["key"]): bool(item["body"]) for item in slots["items"]}
        current = _slot(slots["meta"].get("current_slot"))
    state = root / "state"
    filled = {
        int(slot.name): slot
        for slot in (state / "slots").iterdir()
        if slot.name.isdecimal() and (slot / "image").exists()
    }
    return Observation(
        jobs=jobs,
        shown=shown,
        digests={
            number: hashlib.sha256((slot / "image").read_bytes()).hexdigest()
            for number, slot in filled.items()
        },
        manifests={number: _manifest(slot) for number, slot in filled.items()},
        current=current,
        chosen=_slot((state / "slots/next").readlink())
        if (state / "slots/next").is_symlink()
        else None,
        staged=[path.name for path in (state / "staging").iterdir()],
        logged_in=logged_in,
        session=session,
        certificate=served_certificate(client.url),
        fetched=origin.bytes_sent - before,
    )


def _manifest(slot: Path) -> str | None:
    try:
        return str(json.loads((slot / "manifest.json").read_bytes())["sha256"])
    except (OSError, ValueError, KeyError):
        return None


def _slot(name: object) -> int | None:
    number = str(name).rpartition("/")[2]
    return int(number) if number.isdecimal() else None


def _ended_jobs(client: Client) -> list[dict]:
    """Wait until all jobs have ended; gives their documents."""
    end = time.monotonic() + LIMIT_S
    while True:
        items = client.call("GET", FETCH).document["items"]
        if all(item["body"]["status"] in OVER for item in items):
            return items
        if time.monotonic() > end:
            raise BootError(f"jobs are not over: {json.dumps(items)}")
        time.sleep(0.005)
