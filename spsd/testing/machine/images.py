"""Rules for slots: uploads, tests, the choice for the next boot, and emptying slots."""

import hashlib

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from spsd.testing.client import Answer
from spsd.testing.machine.base import SLOTS, TEST, UPGRADE, UPLOAD, ServerMachine
from spsd.testing.model import must

_UP = precondition(lambda machine: machine.is_up)
SLOT_NUMBERS = st.integers(0, 11)
"""Selects a slot, however many there are."""


class Images(ServerMachine):
    """Upload, test, upgrade, and empty slots."""

    def pick_slot(self, number: int) -> int:
        """The number of a slot, most often a full one; or of a slot that does not exist."""
        slots = self.model.slots
        full = [slot for slot, image in slots.items() if image is not None]
        choices = [*full, *full, *slots, len(slots) + 1]
        return choices[number % len(choices)]

    def send_upload(self, content: bytes, checksum: str | None) -> Answer:
        """Send an image, with its checksum in a header field unless it is None."""
        headers = {} if checksum is None else {"X-Checksum-Sha256": checksum}
        return self.request("POST", UPLOAD, content=content, headers=headers)

    def image(self, number: int) -> tuple[str, bytes]:
        """The digest and the content of one of the images."""
        return list(self.images_by_digest.items())[number % len(self.images_by_digest)]

    @_UP
    @rule(number=st.integers(0, 3), checked=st.booleans())
    def upload(self, number: int, checked: bool) -> None:  # noqa: FBT001 - a rule's arguments
        """Upload an image, with or without its checksum."""
        self.upload_image(number, checked=checked)

    def upload_image(self, number: int, *, checked: bool) -> None:
        """Upload an image: it must be in a slot when the response arrives."""
        digest, content = self.image(number)
        self.model.other_images.add(digest)
        answer = self.send_upload(content, digest if checked else None)
        if self._is_full(answer):
            return
        must(answer.status == 200, f"an upload: {answer.status} {answer.content!r}")
        slot = int(answer.document["key"])
        if self.process is not None:
            image = self.process.slot_image(slot).read_bytes()
            must(hashlib.sha256(image).hexdigest() == digest, f"slot {slot} holds something else")
        self.counts["uploads"] += 1

    @_UP
    @rule(number=st.integers(0, 3), empty=st.booleans())
    def upload_a_wrong_body(self, number: int, empty: bool) -> None:  # noqa: FBT001
        """Upload an empty body, or one with a wrong checksum: the server keeps nothing of it."""
        _, content = self.image(number)
        answer = self.send_upload(b"" if empty else content, None if empty else "0" * 64)
        if self._is_full(answer):
            return
        kind = answer.document["error"]["type"]
        expected = "IncompleteRequestBodyError" if empty else "ChecksumMismatch"
        must((answer.status, kind) == (400, expected), f"a wrong upload: {answer.status} {kind}")

    def _is_full(self, answer: Answer) -> bool:
        if answer.status != 409:
            return False
        kind = answer.document["error"]["type"]
        must(kind == "NoEmptySlot", f"an upload: {kind}")
        empty, running = self.model.empty_slots, len(self.model.running)
        must(empty <= running, f"{empty} slots are empty and {running} jobs run, but: {kind}")
        return True

    @_UP
    @rule(number=SLOT_NUMBERS)
    def test(self, number: int) -> None:
        """Test an image: one that is in its slot passes."""
        slot = self.pick_slot(number)
        answer = self.request("POST", TEST, json_body={"slot_id": slot})
        self._check_slot(slot, answer)

    @_UP
    @rule(number=SLOT_NUMBERS)
    def upgrade(self, number: int) -> None:
        """Choose a slot for the next boot."""
        slot = self.pick_slot(number)
        body = {"slot_id": slot, "message": "a test"}
        answer = self.request("POST", UPGRADE, json_body=body)
        if self._check_slot(slot, answer):
            self.model.chosen_slots = frozenset({slot})
            self.counts["upgrades"] += 1

    def _check_slot(self, slot: int, answer: Answer) -> bool:
        """Check a response about a slot: 200 if it holds an image, else 404.

        Returns whether it is 200.
        """
        held, running = self.model.slots.get(slot), self.model.running
        what = f"slot {slot} holds {held}, but: {answer.status} {answer.content!r}"
        must(answer.status in (200, 404), what)
        if answer.status == 404:
            must(held is None, what)
            return False
        must(held is not None or bool(running and slot in self.model.slots), what)
        return True

    @_UP
    @rule(number=SLOT_NUMBERS)
    def empty_a_slot(self, number: int) -> None:
        """Empty a slot, which is refused if it runs now or after the next reboot."""
        slot = self.pick_slot(number)
        model = self.model
        held, protected = model.slots.get(slot), model.protected_slots
        answer = self.request("DELETE", f"{SLOTS}/{slot}")
        what = f"slot {slot} holds {held}, protected are {protected}: {answer.status}"
        if answer.status == 200:
            must(slot not in protected, what)
            must(held is not None or bool(model.running), what)
            model.slots_to_empty.add(slot)
            self.counts["images taken out"] += 1
            return
        must(answer.status in (404, 409), what)
        if answer.status == 404:
            must(held is None, what)
            return
        kind = answer.document["error"]["type"]
        must(kind == "SlotInUse", f"{what} {kind}")
        # A job or upload that fills a slot releases it only a moment after its end.
        allowed = slot in protected or slot in self.unsettled or bool(model.running)
        must(allowed, f"{what} {kind}")
