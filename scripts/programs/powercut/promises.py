"""The promises that must hold after a cut, given the responses that the client had received."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Marks = Sequence[Sequence[str]]


@dataclass
class Observation:
    """The daemon's responses after the cut when all jobs have ended, and the files on its disk."""

    jobs: Mapping[str, Mapping[str, Any]]
    shown: Mapping[int, bool]
    """For each slot that the API lists, whether it shows an image."""
    digests: Mapping[int, str]
    """SHA-256 of the image file in each slot."""
    manifests: Mapping[int, str | None]
    """The digest in the manifest of each of these images; None: the manifest cannot be read."""
    current: int | None
    chosen: int | None
    staged: Sequence[str]
    logged_in: bool
    session: bool
    """Whether the session from before the cut is valid; else the client logged in again."""
    certificate: str | None
    """The fingerprint of the daemon's certificate; None: it serves without TLS."""
    fetched: int
    """Bytes that the origin sent since the cut."""


@dataclass
class Expected:
    """What the client may rely on, from the marks of its requests and their responses."""

    jobs: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Digest and kind of each accepted job by its key."""
    submitted: list[tuple[str, str]] = field(default_factory=list)
    """Digest and kind of each submission without a response so far."""
    ended: dict[str, tuple[str, str]] = field(default_factory=dict)
    """The status and the slot that the client has read, by the key of the job."""
    requested: set[tuple[str, str]] = field(default_factory=set)
    """Other requests that were sent: the verb, and the key or slot."""
    removed: set[str] = field(default_factory=set)
    slots: dict[int, str | None] = field(default_factory=dict)
    """The digest in a slot; None: the slot is empty."""
    known: set[str] = field(default_factory=set)
    upgraded: int | None = None
    has_user: bool = False
    has_session: bool = False
    certificate: str | None = None

    def unfinished(self) -> list[tuple[str, str]]:
        """Digest and kind of each job that may still have bytes to fetch."""
        over = self.ended.keys() | self.removed
        accepted = [job for key, job in self.jobs.items() if key not in over]
        return [*accepted, *self.submitted]


def expected(marks: Marks) -> Expected:  # noqa: C901, PLR0912 - a case for each verb
    """Evaluate the marks in their order.

    Raises:
        ValueError: a mark is unknown.
    """
    it = Expected()
    for verb, *words in marks:
        match verb, words:
            case "begin", _:
                pass
            case "user-added", _:
                it.has_user = True
            case "logged-in", _:
                it.has_session = True
            case "pinned", [fingerprint]:
                it.certificate = fingerprint
            case "submit-sent", [digest, kind]:
                it.submitted.append((digest, kind))
                it.known |= {digest} if kind == "good" else set()
            case "accepted", [key]:
                it.jobs[key] = it.submitted.pop()
            case (("finished" | "failed" | "cancelled"), [key, slot]):
                it.ended[key] = (verb, slot)
                if verb == "finished":
                    it.slots[int(slot)] = it.jobs[key][0]
            case (("cancel-sent" | "remove-sent" | "empty-sent" | "upgrade-sent"), [target]):
                it.requested.add((verb.removesuffix("-sent"), target))
                if verb == "empty-sent":
                    it.slots.pop(int(target), None)
            case "upload-sent", [digest]:
                it.known.add(digest)
            case "removed", [key]:
                it.removed.add(key)
            case (("uploaded" | "held"), [slot, digest]):
                it.slots[int(slot)] = digest
                it.known.add(digest)
            case "emptied", [slot]:
                it.slots[int(slot)] = None
            case "upgraded", [slot]:
                it.upgraded = int(slot)
            case _:
                raise ValueError(f"unknown mark: {verb} {words}")
    return it


def broken(marks: Marks, after: Observation, *, most: int) -> list[str]:
    """The broken promises, a sentence for each that begins with the promise's letter.

    ``most`` is the number of bytes that the origin may have sent since the cut.
    """
    it = expected(marks)
    return [*_jobs(it, after), *_slots(it, after), *_rest(it, after, most)]


def _jobs(it: Expected, after: Observation) -> Iterator[str]:
    for key, (digest, kind) in it.jobs.items():
        job = after.jobs.get(key)
        if job is None:
            if ("remove", key) not in it.requested:
                yield f"a: the accepted job {key} does not exist"
            continue
        if key in it.removed:
            yield f"a: the removed job {key} exists again"
        state, slot = str(job["status"]), job["slot_id"]
        if key in it.ended and (state, str(slot)) != it.ended[key]:
            yield f"a: {key} was reported as {it.ended[key]} and is {state} in {slot}"
        correct = {"failed"} if kind == "bad" else {"finished"}
        if ("cancel", key) in it.requested:
            correct.add("cancelled")
        if state not in correct:
            yield f"c: {key} ended {state}: {job['error']}"
        elif state == "failed" and not str(job["error"]).startswith("digest: "):
            yield f"f: {key} failed with {job['error']}"
        elif (
            state == "finished"
            and ("empty", str(slot)) not in it.requested
            and after.digests.get(slot) != digest
        ):
            yield f"b: {key} is finished, and slot {slot} contains {after.digests.get(slot)}"


def _slots(it: Expected, after: Observation) -> Iterator[str]:
    for slot, shown in after.shown.items():
        content = after.digests.get(slot)
        if shown and content not in it.known:
            yield f"b: slot {slot} is shown and contains {content}, which was never requested"
        if not shown and content is not None:
            yield f"c: slot {slot} is shown as empty and contains {content}"
    for slot, content in after.digests.items():
        if (named := after.manifests.get(slot)) != content:
            yield f"c: slot {slot} contains {content}, and its manifest names {named}"
    for slot, digest in it.slots.items():
        content = after.digests.get(slot)
        if content != digest and not (digest is None and content in it.known):
            yield f"c: slot {slot} contains {content} and not {digest}"


def _rest(it: Expected, after: Observation, most: int) -> Iterator[str]:
    if it.has_user and not after.logged_in:
        yield "a: the user that was added cannot log in"
    elif it.has_session and not after.session:
        yield "a: the client's session is not valid"
    if it.certificate is not None and after.certificate != it.certificate:
        yield f"c: the certificate was {it.certificate} and is {after.certificate}"
    if after.staged:
        yield f"c: staging is not empty: {', '.join(after.staged)}"
    may_run = {it.upgraded} | {int(slot) for verb, slot in it.requested if verb == "upgrade"}
    if it.upgraded is not None and after.current not in may_run:
        yield f"c: slot {after.current} runs, and {it.upgraded} was chosen"
    if after.chosen is not None and not after.shown.get(after.chosen):
        yield f"c: the boot choice is slot {after.chosen}, which is empty"
    if after.fetched > most:
        yield f"d: {after.fetched} bytes were fetched again, at most {most} are allowed"
