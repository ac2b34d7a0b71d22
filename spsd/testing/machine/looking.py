"""A look at a server: over the API, and on its disk where that is here."""

import hashlib
import json
from pathlib import Path
from typing import Any, Final, Protocol

from spsd.testing.client import Answer
from spsd.testing.daemon import DaemonProcess
from spsd.testing.model import Look, must

FETCH: Final = "/api/firmware/fetch"
SLOTS: Final = "/api/firmware/slots"
_FLAGS: Final = frozenset({"after_reboot", "current"})


class Server(Protocol):
    """What is looked at; `process` is the daemon, if it is one on this machine."""

    @property
    def process(self) -> DaemonProcess | None:
        """The daemon."""

    def ask(self, method: str, path: str) -> Answer:
        """Ask it, logged in."""


def looked_at(server: Server) -> Look:
    """What the server shows now; complains of what contradicts itself."""
    # In this order: a job that is shown as finished must be in its slot by then.
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
        shown = (body.get("current", False), body.get("after_reboot", False))
        right = (number == current, number == after_reboot)
        must(shown == right or not body, f"slot {number} shows {shown}, but the list says {right}")
    process = server.process
    if process is None:
        held = {number: _told_apart(body) for number, body in bodies.items()}
    else:
        held = {number: _on_disk(process.slot_image(number).parent) for number in bodies}
        for number, body in bodies.items():
            must(not body or held[number] is not None, f"slot {number} is empty, but shows {body}")
    return Look(
        jobs={item["key"]: item["body"] for item in jobs["items"]},
        held=held,
        empty=empty,
        current=current,
        after_reboot=after_reboot,
        digests=process is not None,
        staged=None if process is None else frozenset(process.staged()),
    )


def _document(server: Server, path: str) -> Any:  # noqa: ANN401 - JSON has no better type
    answer = server.ask("GET", path)
    must(answer.status == 200, f"GET {path}: {answer.status}")
    return answer.document


def _slot(link: str | None) -> int | None:
    return None if link is None else int(link.removeprefix(f"{SLOTS}/"))


def _told_apart(body: dict[str, Any]) -> str | None:
    facts = sorted((name, value) for name, value in body.items() if name not in _FLAGS)
    return json.dumps(facts) if facts else None


def _on_disk(slot: Path) -> str | None:
    """The digest of the image there, which is the one that its manifest names."""
    if not slot.exists():
        return None
    names = sorted(path.name for path in slot.iterdir())
    must({"image", "manifest.json"} <= set(names), f"slot {slot.name} holds half an image: {names}")
    digest = hashlib.sha256((slot / "image").read_bytes()).hexdigest()
    named = json.loads((slot / "manifest.json").read_bytes())["sha256"]
    must(digest == named, f"slot {slot.name} holds {digest}, but its manifest says {named}")
    return digest
