"""Rules that end the daemon, at any time, and start it again."""

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

_RUNS = precondition(lambda machine: machine.process is not None and machine.is_up)
_IS_DOWN = precondition(lambda machine: not machine.is_up)
JUMPS = st.sampled_from([0, 0, 0, *CLOCK_JUMPS])
_DELAYS = st.integers(0, 30)
"""Milliseconds from a request to the kill: most responses take less."""


class Faults(Downloads, Images):
    """Kills, stops, starts and reboots."""

    def __init__(self) -> None:
        super().__init__()
        self.boots = 0

    @_RUNS
    @rule(ms=st.sampled_from([0, 0, 5, 30, 100]))
    def kill(self, ms: int) -> None:
        """Kill the daemon (SIGKILL), whatever it does at that moment."""
        time.sleep(ms / 1000)
        self._kill()

    @_RUNS
    @rule()
    def stop(self) -> None:
        """Stop the daemon gracefully; its exit status must be 0."""
        if self.process is None:
            return
        code = self.process.stop()
        must(code == 0, f"a graceful stop ends with {code}")
        self.model.server_ended()
        self.counts["polite stops"] += 1
        self.note("stopped")

    @_RUNS
    @rule(image=NUMBERS, after=BYTES, gracefully=st.booleans())
    def end_during_a_hang(self, image: int, after: int, gracefully: bool) -> None:  # noqa: FBT001
        """End the daemon while a job waits for bytes: the job continues after the next start."""
        self.submit_and_hang(image, after)
        if gracefully:
            self.stop()
        else:
            self._kill()

    @_IS_DOWN
    @rule(jump_s=JUMPS)
    def start(self, jump_s: int) -> None:
        """Start the daemon in the same boot, after a shift of the clock."""
        self.shift_clock(jump_s)
        self._start()

    @_IS_DOWN
    @rule(jump_s=JUMPS)
    def start_after_a_reboot(self, jump_s: int) -> None:
        """Start the daemon in another boot: the chosen slot is now the current one."""
        if self.process is None:
            return
        self.shift_clock(jump_s)
        self.boots += 1
        self.process.boot = f"boot {self.boots}"
        self.model.rebooted()
        self.counts["reboots"] += 1
        self._start()

    @_RUNS
    @rule(image=NUMBERS, ms=_DELAYS)
    def kill_during_a_submission(self, image: int, ms: int) -> None:
        """An accepted job must exist after the next start; without a response it may exist."""
        job = self.new_job(image, wrong=False)
        answer = self._request_and_kill(lambda: self.post(job), ms)
        must(answer is None or answer.status == 202, f"a submission: {answer}")
        self.model.add_job(None if answer is None else answer.document["key"], job)
        self.model.server_ended()

    @precondition(lambda machine: machine.process and machine.is_up and machine.submissions)
    @rule(number=NUMBERS, ms=_DELAYS)
    def kill_during_a_cancel(self, number: int, ms: int) -> None:
        """After 200 the job must be cancelled or removed; without a response it may be."""
        if (key := self.pick_job(number)) is None:
            self.kill(ms)
            return
        job = self.model.jobs[key]
        was_over = job.is_over
        answer = self._request_and_kill(lambda: self.request("DELETE", f"{FETCH}/{key}"), ms)
        if answer is None:
            job.may_be_removed = True
            if not was_over:
                job.possible |= {Status.CANCELLED}
        elif answer.status == 200 and was_over:
            self.model.remove_job(key)
        elif answer.status == 200:
            # If the job ended before the DELETE it is removed now, otherwise it is cancelled.
            self.model.other_images.add(job.sha256)
            job.may_be_removed = True
            job.possible = frozenset({Status.CANCELLED})

    @_RUNS
    @rule(number=st.integers(0, 3), ms=_DELAYS)
    def kill_during_an_upload(self, number: int, ms: int) -> None:
        """The whole image is in a slot, or nothing of it."""
        digest, content = self.image(number)
        self.model.other_images.add(digest)
        answer = self._request_and_kill(lambda: self.send_upload(content, None), ms)
        if answer is not None and answer.status == 200 and self.process is not None:
            slot = int(answer.document["key"])
            must(self.process.slot_image(slot).exists(), f"an upload has left slot {slot}")

    @_RUNS
    @rule(number=SLOT_NUMBERS, ms=_DELAYS)
    def kill_during_an_upgrade(self, number: int, ms: int) -> None:
        """The new slot is chosen for the next boot, or still the one before."""
        slot = self.pick_slot(number)
        body = {"slot_id": slot, "message": "a test"}
        answer = self._request_and_kill(lambda: self.request("POST", UPGRADE, json_body=body), ms)
        if answer is None:
            before = (chosen for chosen in self.model.chosen_slots if chosen is not None)
            self.unsettled = {slot, *before}
            self.model.chosen_slots |= {slot}
        elif answer.status == 200:
            self.model.chosen_slots = frozenset({slot})

    @_RUNS
    @rule(number=SLOT_NUMBERS, ms=_DELAYS)
    def kill_while_emptying_a_slot(self, number: int, ms: int) -> None:
        """The slot holds the whole image or is empty."""
        slot = self.pick_slot(number)
        protected = self.model.protected_slots
        answer = self._request_and_kill(lambda: self.request("DELETE", f"{SLOTS}/{slot}"), ms)
        if answer is None and slot not in protected:
            self.model.slots_to_empty.add(slot)
        elif answer is not None and answer.status == 200:
            must(slot not in protected, f"slot {slot} was emptied, but {protected} are protected")
            self.model.slots_to_empty.add(slot)

    def _request_and_kill(self, request: Callable[[], Answer], ms: int) -> Answer | None:
        """Kill the daemon `ms` milliseconds after a request; None: there was no response."""
        # This logs in if the session has expired: a 401 would not test anything.
        self.request("GET", FETCH)
        with ThreadPoolExecutor(1) as executor:
            pending = executor.submit(request)
            time.sleep(ms / 1000)
            self._kill()
            try:
                answer = pending.result()
            except (OSError, HTTPException):
                answer = None
        self.note(f"  killed after {ms} ms; response: {answer and answer.status}")
        self.counts["requests cut by a kill"] += 1
        return answer

    def _kill(self) -> None:
        if self.process is not None:
            self.process.kill()
        self.model.server_ended()
        self.counts["kills"] += 1
        self.note("killed")

    def _start(self) -> None:
        if self.process is None:
            return
        self.process.start()
        self.client.url = self.process.url
        self.note(f"started in {self.process.boot}")
