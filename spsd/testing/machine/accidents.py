"""Rules that end the daemon, in the middle of anything, and start it again."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from spsd.testing.client import Answer
from spsd.testing.machine.base import CLOCK_JUMPS, FETCH, SLOTS, UPGRADE
from spsd.testing.machine.downloads import BYTES, NUMBERS, Downloads
from spsd.testing.machine.images import SLOT_NUMBERS, Images
from spsd.testing.model import Status, must

_RUNS = precondition(lambda machine: machine.process is not None and machine.up)
_IS_DOWN = precondition(lambda machine: not machine.up)
JUMPS = st.sampled_from([0, 0, 0, *CLOCK_JUMPS])
_DELAYS = st.integers(0, 30)
"""Milliseconds from a request to the kill: most answers take less."""


class Accidents(Downloads, Images):
    """Crashes, stops, starts and reboots."""

    def __init__(self) -> None:
        super().__init__()
        self.boots = 0

    @_RUNS
    @rule(ms=st.sampled_from([0, 0, 5, 30, 100]))
    def kill(self, ms: int) -> None:
        """`kill -9`, whatever it does at that moment."""
        time.sleep(ms / 1000)
        self._kill()

    @_RUNS
    @rule()
    def stop(self) -> None:
        """A polite stop, which ends well."""
        if self.process is None:
            return
        code = self.process.stop()
        must(code == 0, f"a polite stop ends with {code}")
        self.model.ended()
        self.tried["polite stops"] += 1
        self.note("stopped")

    @_RUNS
    @rule(image=NUMBERS, after=BYTES, politely=st.booleans())
    def end_in_the_middle(self, image: int, after: int, politely: bool) -> None:  # noqa: FBT001
        """While a job waits for bytes: it goes on later."""
        self.under_way(image, after)
        if politely:
            self.stop()
        else:
            self._kill()

    @_IS_DOWN
    @rule(jump_s=JUMPS)
    def start(self, jump_s: int) -> None:
        """In the same boot, after a while."""
        self.jump(jump_s)
        self._start()

    @_IS_DOWN
    @rule(jump_s=JUMPS)
    def start_after_a_reboot(self, jump_s: int) -> None:
        """In another boot: the choice comes true."""
        if self.process is None:
            return
        self.jump(jump_s)
        self.boots += 1
        self.process.boot = f"boot {self.boots}"
        self.model.rebooted()
        self.tried["reboots"] += 1
        self._start()

    @_RUNS
    @rule(image=NUMBERS, ms=_DELAYS)
    def kill_at_a_submission(self, image: int, ms: int) -> None:
        """What was accepted is there; what nobody has answered may be."""
        job = self.order(image, wrong=False)
        answer = self._cut(lambda: self.post(job), ms)
        must(answer is None or answer.status == 202, f"a submission: {answer}")
        self.model.submitted(None if answer is None else answer.document["key"], job)
        self.model.ended()

    @precondition(lambda machine: machine.process and machine.up and machine.submissions)
    @rule(number=NUMBERS, ms=_DELAYS)
    def kill_at_a_cancel(self, number: int, ms: int) -> None:
        """It was cancelled or removed, or it was not; answered, it was."""
        if (key := self.key(number)) is None:
            self.kill(ms)
            return
        job = self.model.jobs[key]
        was_over = job.is_over
        answer = self._cut(lambda: self.ask("DELETE", f"{FETCH}/{key}"), ms)
        if answer is None:
            job.may_be_gone = True
            if not was_over:
                job.may_be |= {Status.CANCELLED}
        elif answer.status == 200 and was_over:
            self.model.removed(key)
        elif answer.status == 200:
            # It may have come to its end before: then it is removed, and else it is cancelled.
            self.model.brought.add(job.sha256)
            job.may_be_gone = True
            job.may_be = frozenset({Status.CANCELLED})

    @_RUNS
    @rule(number=st.integers(0, 3), ms=_DELAYS)
    def kill_at_an_upload(self, number: int, ms: int) -> None:
        """It is in a slot, whole, or not at all."""
        digest, content = self.image(number)
        self.model.brought.add(digest)
        answer = self._cut(lambda: self.upload_of(content, None), ms)
        if answer is not None and answer.status == 200 and self.process is not None:
            slot = int(answer.document["key"])
            must(self.process.slot_image(slot).exists(), f"an upload has left slot {slot}")

    @_RUNS
    @rule(number=SLOT_NUMBERS, ms=_DELAYS)
    def kill_at_an_upgrade(self, number: int, ms: int) -> None:
        """The slot is chosen, or the one before still is."""
        slot = self.slot(number)
        order = {"slot_id": slot, "message": "a test"}
        answer = self._cut(lambda: self.ask("POST", UPGRADE, json_body=order), ms)
        if answer is None:
            self.unsettled = {slot, *(one for one in self.model.chosen if one is not None)}
            self.model.chosen |= {slot}
        elif answer.status == 200:
            self.model.chosen = frozenset({slot})

    @_RUNS
    @rule(number=SLOT_NUMBERS, ms=_DELAYS)
    def kill_at_taking_out(self, number: int, ms: int) -> None:
        """The image is whole or gone."""
        slot = self.slot(number)
        protected = self.model.protected
        answer = self._cut(lambda: self.ask("DELETE", f"{SLOTS}/{slot}"), ms)
        if answer is None and slot not in protected:
            self.model.emptied.add(slot)
        elif answer is not None and answer.status == 200:
            must(slot not in protected, f"slot {slot} was taken out, but {protected} are protected")
            self.model.emptied.add(slot)

    def _cut(self, request: Callable[[], Answer], ms: int) -> Answer | None:
        """Kill the daemon so long after a request; None: no answer came."""
        # Whoever is not logged in learns nothing of a crash.
        self.ask("GET", FETCH)
        with ThreadPoolExecutor(1) as other:
            asked = other.submit(request)
            time.sleep(ms / 1000)
            self._kill()
            try:
                answer = asked.result()
            except (OSError, HTTPException):
                answer = None
        self.note(f"  killed after {ms} ms; answered: {answer and answer.status}")
        self.tried["requests cut by a kill"] += 1
        return answer

    def _kill(self) -> None:
        if self.process is not None:
            self.process.kill()
        self.model.ended()
        self.tried["kills"] += 1
        self.note("killed")

    def _start(self) -> None:
        if self.process is None:
            return
        self.process.start()
        self.client.url = self.process.url
        self.note(f"started in {self.process.boot}")
