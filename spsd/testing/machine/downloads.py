"""Rules for downloads, and for the origin that they come from."""

from typing import Final

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from spsd.testing import strategies
from spsd.testing.client import Answer
from spsd.testing.machine.base import FETCH, ServerMachine
from spsd.testing.model import AFTER, JobModel, Status, must
from spsd.testing.origin import Act, Hang

NUMBERS: Final = st.integers(0, 11)
"""Chooses one of several, whatever their number is."""
BYTES: Final = st.sampled_from([0, 1, 4096, 19_999])
"""Where a transfer is broken off; the origin's images are longer, but for one."""
MOST_JOBS: Final = 3
NO_DIGEST: Final = "0" * 64
NO_KEY: Final = "00000000-0000-4000-8000-000000000000"
_UP: Final = precondition(lambda machine: machine.up)
_HAS_ASKED: Final = precondition(lambda machine: machine.up and machine.submissions)
"""No precondition may ask how far the server is: a run must be the same the next time."""


class Downloads(ServerMachine):
    """Submit, look, wait, cancel, remove."""

    def key(self, number: int, *, running: bool = False) -> str | None:
        """One of the jobs, or of those under way; None: there is none by now."""
        jobs = self.model.jobs.items()
        keys = [key for key, job in jobs if not (running and job.is_over)]
        return keys[number % len(keys)] if keys else None

    def order(self, image: int, *, wrong: bool) -> JobModel:
        """A new job that wants an image, or the digest of nothing."""
        digest = list(self.paths)[image % len(self.paths)]
        # Each is another URL, so that a job whose key nobody was told is known again.
        self.submissions += 1
        url = f"{self.origin.url(self.paths[digest])}?n={self.submissions}"
        return JobModel(NO_DIGEST if wrong else digest, url, excused=not self.origin_is_good)

    def post(self, job: JobModel) -> Answer:
        """Ask for the job."""
        body = {"url": job.url, "checksum": {"sha256": job.sha256}}
        return self.ask("POST", FETCH, json_body=body)

    @_UP
    @rule(image=NUMBERS, wrong=st.sampled_from([False, False, False, True]))
    def submit(self, image: int, wrong: bool) -> None:  # noqa: FBT001 - a rule's arguments
        """A new job, at times with a digest that nothing has."""
        job = self.order(image, wrong=wrong)
        if len(self.model.running) < MOST_JOBS:
            self.put_in_the_queue(job)

    @_UP
    @rule(image=NUMBERS, script=strategies.curable_scripts(20_000, longest=2))
    def submit_to_a_nuisance(self, image: int, script: tuple[Act, ...]) -> None:
        """A new job, which meets acts that cost time."""
        self.origin.script(*script)
        self.note(f"the origin plays {script}")
        job = self.order(image, wrong=False)
        if len(self.model.running) < MOST_JOBS:
            self.put_in_the_queue(job)

    @_HAS_ASKED
    @rule(number=NUMBERS)
    def submit_again(self, number: int) -> None:
        """What was asked for already, or is in a slot by now."""
        wanted = [job.sha256 for job in self.model.jobs.values()] or list(self.paths)
        digest = wanted[number % len(wanted)]
        image = [*self.paths, NO_DIGEST].index(digest)
        job = self.order(image, wrong=digest == NO_DIGEST)
        if len(self.model.running) < MOST_JOBS:
            self.put_in_the_queue(job)

    @_UP
    @rule(image=NUMBERS, after=BYTES)
    def cancel_in_the_middle(self, image: int, after: int) -> None:
        """While the origin says nothing."""
        if (key := self.under_way(image, after)) is not None:
            self._delete(key)

    def under_way(self, image: int, after: int) -> str | None:
        """A new job that has so many bytes, and waits for more; None: there are enough jobs.

        If a slot holds its image already, or none is empty, it is over.
        """
        if len(self.model.running) >= MOST_JOBS:
            return None
        self.origin.script(Hang(after))
        key = self.put_in_the_queue(self.order(image, wrong=False))
        queued = frozenset({Status.QUEUED})
        self.wait_until(lambda: self.status_of(key) not in queued, f"{key} did not start")
        return key

    def put_in_the_queue(self, job: JobModel) -> str:
        """Ask for the job; its key."""
        answer = self.post(job)
        must(answer.status == 202, f"a submission: {answer.status} {answer.content!r}")
        key: str = answer.document["key"]
        must(key not in self.model.jobs, f"the key {key} was given twice")
        self.note(f"  {key} wants {job.sha256[:8]}, {job.url}")
        self.model.submitted(key, job)
        self.tried["submissions"] += 1
        return key

    @_UP
    @rule(wrong=strategies.invalid_fetch_bodies())
    def ask_for_what_is_wrong(self, wrong: strategies.InvalidBody) -> None:
        """Refused, and the member is named; and what is not there is not there."""
        answer = self.ask("POST", FETCH, json_body=wrong.body)
        must(answer.status == 400, f"{wrong}: {answer.status}")
        message = answer.document["error"]["message"]
        must(wrong.member in message, f"{message!r} does not name {wrong.member}")
        for method in ("GET", "DELETE"):
            answer = self.ask(method, f"{FETCH}/{NO_KEY}")
            must(answer.status == 404, f"a job that is not there: {answer.status}")

    @_HAS_ASKED
    @rule(number=NUMBERS, headers=strategies.tolerated_headers())
    def look_at_one(self, number: int, headers: dict[str, str]) -> None:
        """The job alone shows what the list does, later."""
        if (key := self.key(number)) is None:
            return
        answer = self.ask("GET", f"{FETCH}/{key}", headers=headers)
        must(answer.status == 200, f"the job {key}: {answer.status}")
        self.model.seen(key, answer.document["body"])

    @precondition(lambda machine: machine.up and machine.submissions and machine.has_history)
    @rule(number=NUMBERS)
    def look_at_the_history(self, number: int) -> None:
        """It only grows, along the arrows."""
        if (key := self.key(number)) is None:
            return
        answer = self.ask("GET", f"{FETCH}/{key}/history")
        must(answer.status == 200, f"the history of {key}: {answer.status}")
        history = answer.document["body"]["history"]
        self.model.jobs[key].told(history)
        if self.status_of(key) in (Status.FINISHED, Status.FAILED, Status.CANCELLED):
            last = history[-1]["status"]
            must(last == self.status_of(key), f"{key} is {self.status_of(key)}, not {last}")

    @_HAS_ASKED
    @rule(number=NUMBERS)
    def wait_for_one(self, number: int) -> None:
        """A job comes to an end by itself."""
        if (key := self.key(number)) is None:
            return
        job = self.model.jobs[key]
        self.wait_until(lambda: job.is_over, f"{job.url} is stuck: it did not end")

    @_HAS_ASKED
    @rule(number=NUMBERS)
    def cancel_or_remove(self, number: int) -> None:
        """DELETE cancels what is under way, and removes what is over."""
        if (key := self.key(number)) is not None:
            self._delete(key)

    @_HAS_ASKED
    @rule(number=NUMBERS)
    def cancel(self, number: int) -> None:
        """As the other one, but of what is likely to be under way."""
        if (key := self.key(number, running=True)) is not None:
            self._delete(key)

    def _delete(self, key: str) -> None:
        job = self.model.jobs[key]
        was_over = job.is_over
        answer = self.ask("DELETE", f"{FETCH}/{key}")
        if answer.status == 409:
            kind = answer.document["error"]["type"]
            must(not was_over, f"{key} was over, but cannot be removed: {kind}")
            must(kind == "FetchNotCancellable", f"{key} cannot be cancelled: {kind}")
            return
        must(answer.status == 200, f"{key} cannot be deleted: {answer.status}")
        found = self.ask("GET", f"{FETCH}/{key}")
        if found.status == 404:
            must(job.may_be != AFTER[Status.CANCELLED] or was_over, f"{key} has vanished")
            self.model.removed(key)
            self.tried["records removed"] += 1
            return
        must(not was_over, f"{key} is removed, and still there")
        status = found.document["body"]["status"]
        must(status == Status.CANCELLED, f"{key} was cancelled, but is {status}")
        job.may_be = frozenset({Status.CANCELLED})
        self.tried["cancels"] += 1

    @_UP
    @rule(script=strategies.curable_scripts(20_000, longest=6))
    def the_origin_is_a_nuisance(self, script: tuple[Act, ...]) -> None:
        """It plays acts that cost time, and no job that begins now."""
        self.mend()
        self.origin.script(*script)
        self.tried["scripts of an origin"] += 1
        self.note(f"the origin plays {script}")

    @_UP
    @rule(script=strategies.scripts(20_000))
    def the_origin_misbehaves(self, script: tuple[Act, ...]) -> None:
        """It plays any acts."""
        self.origin_is_good = False
        self.model.misbehaves()
        self.origin.script(*script)
        self.tried["scripts of an origin"] += 1
        self.note(f"the origin plays {script}")

    @_UP
    @rule(image=NUMBERS, other=NUMBERS, keep_etag=st.booleans())
    def the_object_is_swapped(self, image: int, other: int, keep_etag: bool) -> None:  # noqa: FBT001
        """Another image stands where one was."""
        self.origin_is_good = False
        self.model.misbehaves()
        paths, contents = list(self.paths.values()), list(self.by_digest.values())
        path, content = paths[image % len(paths)], contents[other % len(contents)]
        self.origin.swap(path, content, keep_etag=keep_etag)
        self.tried["objects swapped"] += 1
        self.note(f"{path} is now {len(content)} bytes, same ETag: {keep_etag}")

    @precondition(lambda machine: machine.up and not machine.origin_is_good)
    @rule()
    def the_origin_is_mended(self) -> None:
        """From now on it is an excellent one."""
        self.mend()
        self.note("the origin is mended")
