"""Rules for downloads, and for the origin from which the server fetches."""

from typing import Final

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from spsd.testing import strategies
from spsd.testing.client import Answer
from spsd.testing.machine.base import FETCH, ServerMachine
from spsd.testing.model import POSSIBLE_NEXT, JobModel, Status, must
from spsd.testing.origin import Act, Hang

NUMBERS: Final = st.integers(0, 11)
"""Selects one of several things, however many there are."""
BYTES: Final = st.sampled_from([0, 1, 4096, 19_999])
"""Where a transfer hangs; the images are longer, except the one of one byte."""
MOST_JOBS: Final = 3
NO_DIGEST: Final = "0" * 64
NO_KEY: Final = "00000000-0000-4000-8000-000000000000"
_UP: Final = precondition(lambda machine: machine.is_up)
_HAS_SUBMITTED: Final = precondition(lambda machine: machine.is_up and machine.submissions)
"""Preconditions do not depend on the server's progress, so that a run can be repeated."""


class Downloads(ServerMachine):
    """Submit, read, wait, cancel, remove."""

    def pick_job(self, number: int, *, running: bool = False) -> str | None:
        """The key of one of the jobs, or of those that run; None: there is none."""
        jobs = self.model.jobs.items()
        keys = [key for key, job in jobs if not (running and job.is_over)]
        return keys[number % len(keys)] if keys else None

    def new_job(self, image: int, *, wrong: bool) -> JobModel:
        """A new job for one of the images, or with a digest that no image has."""
        digest = list(self.paths)[image % len(self.paths)]
        # Each job has its own URL, which identifies it if the response with its key was lost.
        self.submissions += 1
        url = f"{self.origin.url(self.paths[digest])}?n={self.submissions}"
        return JobModel(NO_DIGEST if wrong else digest, url, may_fail=not self.origin_is_good)

    def post(self, job: JobModel) -> Answer:
        """Send the submission of the job."""
        body = {"url": job.url, "checksum": {"sha256": job.sha256}}
        return self.request("POST", FETCH, json_body=body)

    @_UP
    @rule(image=NUMBERS, wrong=st.sampled_from([False, False, False, True]))
    def submit(self, image: int, wrong: bool) -> None:  # noqa: FBT001 - a rule's arguments
        """Submit a job, sometimes with a digest that no image has."""
        job = self.new_job(image, wrong=wrong)
        if len(self.model.running) < MOST_JOBS:
            self.submit_job(job)

    @_UP
    @rule(image=NUMBERS, script=strategies.curable_scripts(20_000, longest=2))
    def submit_with_a_slow_origin(self, image: int, script: tuple[Act, ...]) -> None:
        """Submit a job whose origin plays acts that delay it."""
        self.origin.script(*script)
        self.note(f"the origin's script: {script}")
        job = self.new_job(image, wrong=False)
        if len(self.model.running) < MOST_JOBS:
            self.submit_job(job)

    @_HAS_SUBMITTED
    @rule(number=NUMBERS)
    def submit_again(self, number: int) -> None:
        """Submit the digest of an earlier job, whose image may be in a slot by now."""
        digests = [job.sha256 for job in self.model.jobs.values()] or list(self.paths)
        digest = digests[number % len(digests)]
        image = [*self.paths, NO_DIGEST].index(digest)
        job = self.new_job(image, wrong=digest == NO_DIGEST)
        if len(self.model.running) < MOST_JOBS:
            self.submit_job(job)

    @_UP
    @rule(image=NUMBERS, after=BYTES)
    def cancel_during_a_hang(self, image: int, after: int) -> None:
        """Cancel a job while its origin sends nothing."""
        if (key := self.submit_and_hang(image, after)) is not None:
            self._delete(key)

    def submit_and_hang(self, image: int, after: int) -> str | None:
        """Submit a job, let its origin hang after so many bytes, and wait until it is not queued.

        If a slot already holds its image, or no slot is empty, the job is over. Returns None if
        there are `MOST_JOBS` jobs already.
        """
        if len(self.model.running) >= MOST_JOBS:
            return None
        self.origin.script(Hang(after))
        key = self.submit_job(self.new_job(image, wrong=False))
        queued = frozenset({Status.QUEUED})
        self.wait_until(lambda: self.status_of(key) not in queued, f"{key} did not start")
        return key

    def submit_job(self, job: JobModel) -> str:
        """Submit the job, which must be accepted; returns its key."""
        answer = self.post(job)
        must(answer.status == 202, f"a submission: {answer.status} {answer.content!r}")
        key: str = answer.document["key"]
        must(key not in self.model.jobs, f"the key {key} was given twice")
        self.note(f"  {key} has the digest {job.sha256[:8]}, {job.url}")
        self.model.add_job(key, job)
        self.counts["submissions"] += 1
        return key

    @_UP
    @rule(invalid=strategies.invalid_fetch_bodies())
    def submit_an_invalid_body(self, invalid: strategies.InvalidBody) -> None:
        """An invalid body gets 400 with the invalid member's name; an unknown key gets 404."""
        answer = self.request("POST", FETCH, json_body=invalid.body)
        must(answer.status == 400, f"{invalid}: {answer.status}")
        message = answer.document["error"]["message"]
        must(invalid.member in message, f"{message!r} does not name {invalid.member}")
        for method in ("GET", "DELETE"):
            answer = self.request(method, f"{FETCH}/{NO_KEY}")
            must(answer.status == 404, f"an unknown job: {answer.status}")

    @_HAS_SUBMITTED
    @rule(number=NUMBERS, headers=strategies.tolerated_headers())
    def read_a_job(self, number: int, headers: dict[str, str]) -> None:
        """Read one job; its body must be possible after the one of the last snapshot."""
        if (key := self.pick_job(number)) is None:
            return
        answer = self.request("GET", f"{FETCH}/{key}", headers=headers)
        must(answer.status == 200, f"the job {key}: {answer.status}")
        self.model.check_job(key, answer.document["body"])

    @precondition(lambda machine: machine.is_up and machine.submissions and machine.has_history)
    @rule(number=NUMBERS)
    def read_a_history(self, number: int) -> None:
        """Read a job's history; it only grows, and each step is an allowed transition."""
        if (key := self.pick_job(number)) is None:
            return
        answer = self.request("GET", f"{FETCH}/{key}/history")
        must(answer.status == 200, f"the history of {key}: {answer.status}")
        history = answer.document["body"]["history"]
        self.model.jobs[key].check_history(history)
        if self.status_of(key) in (Status.FINISHED, Status.FAILED, Status.CANCELLED):
            last = history[-1]["status"]
            must(last == self.status_of(key), f"{key} is {self.status_of(key)}, not {last}")

    @_HAS_SUBMITTED
    @rule(number=NUMBERS)
    def wait_for_a_job(self, number: int) -> None:
        """Wait for a job, which must end without help."""
        if (key := self.pick_job(number)) is None:
            return
        job = self.model.jobs[key]
        self.wait_until(lambda: job.is_over, f"{job.url} is stuck: it did not end")

    @_HAS_SUBMITTED
    @rule(number=NUMBERS)
    def cancel_or_remove(self, number: int) -> None:
        """DELETE a job: this cancels it if it runs, and removes its record if it is over."""
        if (key := self.pick_job(number)) is not None:
            self._delete(key)

    @_HAS_SUBMITTED
    @rule(number=NUMBERS)
    def cancel(self, number: int) -> None:
        """DELETE a job that probably still runs."""
        if (key := self.pick_job(number, running=True)) is not None:
            self._delete(key)

    def _delete(self, key: str) -> None:
        job = self.model.jobs[key]
        was_over = job.is_over
        answer = self.request("DELETE", f"{FETCH}/{key}")
        if answer.status == 409:
            kind = answer.document["error"]["type"]
            must(not was_over, f"{key} was over, but cannot be removed: {kind}")
            must(kind == "FetchNotCancellable", f"{key} cannot be cancelled: {kind}")
            return
        must(answer.status == 200, f"{key} cannot be deleted: {answer.status}")
        after = self.request("GET", f"{FETCH}/{key}")
        if after.status == 404:
            must(job.possible != POSSIBLE_NEXT[Status.CANCELLED] or was_over, f"{key} has vanished")
            self.model.remove_job(key)
            self.counts["records removed"] += 1
            return
        must(not was_over, f"{key} is removed, and still there")
        status = after.document["body"]["status"]
        must(status == Status.CANCELLED, f"{key} was cancelled, but is {status}")
        job.possible = frozenset({Status.CANCELLED})
        self.counts["cancels"] += 1

    @_UP
    @rule(script=strategies.curable_scripts(20_000, longest=6))
    def the_origin_is_slow(self, script: tuple[Act, ...]) -> None:
        """The origin plays acts that delay jobs but make none fail."""
        self.restore_origin()
        self.origin.script(*script)
        self.counts["scripts of an origin"] += 1
        self.note(f"the origin's script: {script}")

    @_UP
    @rule(script=strategies.scripts(20_000))
    def the_origin_misbehaves(self, script: tuple[Act, ...]) -> None:
        """The origin plays any acts; jobs may fail."""
        self.origin_is_good = False
        self.model.origin_misbehaves()
        self.origin.script(*script)
        self.counts["scripts of an origin"] += 1
        self.note(f"the origin's script: {script}")

    @_UP
    @rule(image=NUMBERS, other=NUMBERS, keep_etag=st.booleans())
    def the_object_is_swapped(self, image: int, other: int, keep_etag: bool) -> None:  # noqa: FBT001
        """The origin serves another image at a path."""
        self.origin_is_good = False
        self.model.origin_misbehaves()
        paths, contents = list(self.paths.values()), list(self.images_by_digest.values())
        path, content = paths[image % len(paths)], contents[other % len(contents)]
        self.origin.swap(path, content, keep_etag=keep_etag)
        self.counts["objects swapped"] += 1
        self.note(f"{path} is now {len(content)} bytes, same ETag: {keep_etag}")

    @precondition(lambda machine: machine.is_up and not machine.origin_is_good)
    @rule()
    def the_origin_is_restored(self) -> None:
        """From now on the origin serves the right images."""
        self.restore_origin()
        self.note("the origin is restored")
