"""Snapshots of a server: from its API, and from its disk if it runs on this machine."""

import hashlib
import json
from pathlib import Path
from typing import Any, Final, Protocol

from spsd.testing.client import Answer
from spsd.testing.daemon import DaemonProcess
from spsd.testing.model import Snapshot, must

FETCH: Final = "/api/firmware/fetch"
SLOTS: Final = "/api/firmware/slots"
_FLAGS: Final = frozenset({"after_reboot", "current"})


class Server(Protocol):
    """A server and a session on it; `process` is its daemon, if it runs on this machine."""

    @property
    def process(self) -> DaemonProcess | None:
        """The daemon."""

    def request(self, method: str, path: str) -> Answer:
        """Send a request with the session."""


def take_snapshot(server: Server) -> Snapshot:
    """Read the server's current state.

    Raises:
        BrokenPromiseError: The state contradicts itself.
    """
    # The jobs first: the image of a job that is shown as finished must be in its slot by then.
    jobs = _document(server, FETCH)
    slots = _document(server, SLOTS)
    bodies = {int(item["key"]): item["body"] for item in slots["items"]}
    meta = slots["meta"]
    empty = meta["number_of_empty_slots"]
    must(
        empty == sum(not body for body in bodies.values()), f"{empty} slots are empty, but {bodies}"
    )
    current, after_reboot = _slot(meta["current_slot"]), _slot(meta["slot_after_reboot"])
    for number, body in bodies.items():
        flags = (body.get("current", False), body.get("after_reboot", False))
        expected = (number == current, number == after_reboot)
        must(
            flags == expected or not body,
            f"slot {number} shows {flags}, but the list says {expected}",
        )
    process = server.process
    if process is None:
        held = {number: _identity(body) for number, body in bodies.items()}
    else:
        held = {number: _on_disk(process.slot_image(number).parent) for number in bodies}
        for number, body in bodies.items():
            must(not body or held[number] is not None, f"slot {number} is empty, but shows {body}")
    return Snapshot(
        jobs={item["key"]: item["body"] for item in jobs["items"]},
        slots=held,
        empty_slots=empty,
        current_slot=current,
        after_reboot=after_reboot,
        has_digests=process is not None,
        partial_files=None if process is None else frozenset(process.staged()),
    )


def _document(server: Server, path: str) -> Any:  # noqa: ANN401 - JSON has no better type
    answer = server.request("GET", path)
    must(answer.status == 200, f"GET {path}: {answer.status}")
    return answer.document


def _slot(link: str | None) -> int | None:
    return None if link is None else int(link.removeprefix(f"{SLOTS}/"))


def _identity(body: dict[str, Any]) -> str | None:
    """A text that differs between images: the slot's members other than its flags."""
    members = sorted((name, value) for name, value in body.items() if name not in _FLAGS)
    return json.dumps(members) if members else None


def _on_disk(slot: Path) -> str | None:
    """The digest of the image on disk, checked against the manifest; None: the slot is empty."""
    if not slot.exists():
        return None
    names = sorted(path.name for path in slot.iterdir())
    must({"image", "manifest.json"} <= set(names), f"slot {slot.name} holds half an image: {names}")
    digest = hashlib.sha256((slot / "image").read_bytes()).hexdigest()
    expected = json.loads((slot / "manifest.json").read_bytes())["sha256"]
    must(digest == expected, f"slot {slot.name} holds {digest}, but its manifest says {expected}")
    return digest
