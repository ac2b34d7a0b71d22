"""Rules for slots: uploads, tests, the choice for the next boot, and taking images out."""

import hashlib

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from spsd.testing.client import Answer
from spsd.testing.machine.base import SLOTS, TEST, UPGRADE, UPLOAD, ServerMachine
from spsd.testing.model import must

_UP = precondition(lambda machine: machine.up)
SLOT_NUMBERS = st.integers(0, 11)
"""Chooses a slot, whatever their number is."""


class Images(ServerMachine):
    """What may be done to slots."""

    def slot(self, number: int) -> int:
        """One of the slots, most often one that is full; or one that there is not."""
        held = self.model.held
        full = [slot for slot, image in held.items() if image is not None]
        slots = [*full, *full, *held, len(held) + 1]
        return slots[number % len(slots)]

    def upload_of(self, content: bytes, checksum: str | None) -> Answer:
        """Send an image; `checksum` goes along."""
        headers = {} if checksum is None else {"X-Checksum-Sha256": checksum}
        return self.ask("POST", UPLOAD, content=content, headers=headers)

    def image(self, number: int) -> tuple[str, bytes]:
        """One of the images, with its digest."""
        return list(self.by_digest.items())[number % len(self.by_digest)]

    @_UP
    @rule(number=st.integers(0, 3), checked=st.booleans())
    def upload(self, number: int, checked: bool) -> None:  # noqa: FBT001 - a rule's arguments
        """An image, with its checksum or without."""
        self.put(number, checked=checked)

    def put(self, number: int, *, checked: bool) -> None:
        """Upload an image: it is in a slot when the answer is there."""
        digest, content = self.image(number)
        self.model.brought.add(digest)
        answer = self.upload_of(content, digest if checked else None)
        if self._is_full(answer):
            return
        must(answer.status == 200, f"an upload: {answer.status} {answer.content!r}")
        slot = int(answer.document["key"])
        if self.process is not None:
            image = self.process.slot_image(slot).read_bytes()
            must(hashlib.sha256(image).hexdigest() == digest, f"slot {slot} holds something else")
        self.tried["uploads"] += 1

    @_UP
    @rule(number=st.integers(0, 3), empty=st.booleans())
    def upload_what_is_wrong(self, number: int, empty: bool) -> None:  # noqa: FBT001
        """Nothing, or something else than the checksum says: nothing of it is kept."""
        _, content = self.image(number)
        answer = self.upload_of(b"" if empty else content, None if empty else "0" * 64)
        if self._is_full(answer):
            return
        kind = answer.document["error"]["type"]
        wanted = "IncompleteRequestBodyError" if empty else "ChecksumMismatch"
        must((answer.status, kind) == (400, wanted), f"a wrong upload: {answer.status} {kind}")

    def _is_full(self, answer: Answer) -> bool:
        if answer.status != 409:
            return False
        kind = answer.document["error"]["type"]
        must(kind == "NoEmptySlot", f"an upload: {kind}")
        empty, running = self.model.empty, len(self.model.running)
        must(empty <= running, f"{empty} slots are empty and {running} jobs run, but: {kind}")
        return True

    @_UP
    @rule(number=SLOT_NUMBERS)
    def test(self, number: int) -> None:
        """An image that is in its slot passes."""
        slot = self.slot(number)
        answer = self.ask("POST", TEST, json_body={"slot_id": slot})
        self._as_held(slot, answer)

    @_UP
    @rule(number=SLOT_NUMBERS)
    def upgrade(self, number: int) -> None:
        """The slot is chosen for the next boot."""
        slot = self.slot(number)
        order = {"slot_id": slot, "message": "a test"}
        answer = self.ask("POST", UPGRADE, json_body=order)
        if self._as_held(slot, answer):
            self.model.chosen = frozenset({slot})
            self.tried["upgrades"] += 1

    def _as_held(self, slot: int, answer: Answer) -> bool:
        """Whether it was done, which is right if the slot holds an image."""
        held, running = self.model.held.get(slot), self.model.running
        told = f"slot {slot} holds {held}, but: {answer.status} {answer.content!r}"
        must(answer.status in (200, 404), told)
        if answer.status == 404:
            must(held is None, told)
            return False
        must(held is not None or bool(running and slot in self.model.held), told)
        return True

    @_UP
    @rule(number=SLOT_NUMBERS)
    def take_out(self, number: int) -> None:
        """The image is taken out, unless it runs now or after the next reboot."""
        slot = self.slot(number)
        model = self.model
        held, protected = model.held.get(slot), model.protected
        answer = self.ask("DELETE", f"{SLOTS}/{slot}")
        told = f"slot {slot} holds {held}, protected are {protected}: {answer.status}"
        if answer.status == 200:
            must(slot not in protected, told)
            must(held is not None or bool(model.running), told)
            model.emptied.add(slot)
            self.tried["images taken out"] += 1
            return
        must(answer.status in (404, 409), told)
        if answer.status == 404:
            must(held is None, told)
            return
        kind = answer.document["error"]["type"]
        must(kind == "SlotInUse", f"{told} {kind}")
        # Whoever fills a slot lets go of it a moment later only.
        excused = slot in protected or slot in self.unsettled or bool(model.running)
        must(excused, f"{told} {kind}")
