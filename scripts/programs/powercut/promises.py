"""What must hold after a cut, given what the client was told before it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Marks = Sequence[Sequence[str]]


@dataclass
class Seen:
    """What the daemon says after the cut when it has come to rest, and what lies on the disk."""

    jobs: Mapping[str, Mapping[str, Any]]
    shown: Mapping[int, bool]
    """The slots that the API lists; whether it shows an image in it."""
    digests: Mapping[int, str]
    """Of the image file in each slot, as it lies on the disk."""
    manifests: Mapping[int, str | None]
    """The digest that the manifest beside each of these images names; None: it names none."""
    current: int | None
    chosen: int | None
    staged: Sequence[str]
    logged_in: bool
    session: bool
    """Whether that was by the session of before the cut, and not by the password."""
    certificate: str | None
    """The fingerprint of what it serves; None: it serves without TLS."""
    fetched: int
    """Bytes that the origin sent since the cut."""


@dataclass
class Expected:
    """What the client may count on."""

    jobs: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Digest and kind of each accepted job by its key."""
    submitted: list[tuple[str, str]] = field(default_factory=list)
    """Digest and kind of what was sent and not answered yet."""
    ended: dict[str, tuple[str, str]] = field(default_factory=dict)
    """The state and the slot that it was told of."""
    asked: set[tuple[str, str]] = field(default_factory=set)
    """What it asked for without being told of the end: the verb, and the key or slot."""
    removed: set[str] = field(default_factory=set)
    slots: dict[int, str | None] = field(default_factory=dict)
    """The digest in a slot; None: it is empty."""
    known: set[str] = field(default_factory=set)
    upgraded: int | None = None
    has_user: bool = False
    has_session: bool = False
    certificate: str | None = None

    def unfinished(self) -> list[tuple[str, str]]:
        """Digest and kind of what may still have to be fetched."""
        over = self.ended.keys() | self.removed
        accepted = [what for key, what in self.jobs.items() if key not in over]
        return [*accepted, *self.submitted]


def expected(marks: Marks) -> Expected:  # noqa: C901, PLR0912 - a line for each word
    """Read the marks in their order."""
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
            case (("cancel-sent" | "remove-sent" | "empty-sent" | "upgrade-sent"), [what]):
                it.asked.add((verb.removesuffix("-sent"), what))
                if verb == "empty-sent":
                    it.slots.pop(int(what), None)
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
                raise ValueError(f"nobody knows the mark {verb} {words}")
    return it


def broken(marks: Marks, seen: Seen, *, most: int) -> list[str]:
    """The promises that do not hold, a sentence each; the origin may have sent ``most`` bytes."""
    it = expected(marks)
    return [*_jobs(it, seen), *_slots(it, seen), *_rest(it, seen, most)]


def _jobs(it: Expected, seen: Seen) -> Iterator[str]:
    for key, (digest, kind) in it.jobs.items():
        job = seen.jobs.get(key)
        if job is None:
            if ("remove", key) not in it.asked:
                yield f"a: the accepted job {key} is gone"
            continue
        if key in it.removed:
            yield f"a: the removed job {key} is back"
        state, slot = str(job["status"]), job["slot_id"]
        if key in it.ended and (state, str(slot)) != it.ended[key]:
            yield f"a: {key} was told as {it.ended[key]} and is {state} in {slot}"
        fits = {"failed"} if kind == "bad" else {"finished"}
        if ("cancel", key) in it.asked:
            fits.add("cancelled")
        if state not in fits:
            yield f"c: {key} ended {state}: {job['error']}"
        elif state == "failed" and not str(job["error"]).startswith("digest: "):
            yield f"f: {key} failed with {job['error']}"
        elif (
            state == "finished"
            and ("empty", str(slot)) not in it.asked
            and seen.digests.get(slot) != digest
        ):
            yield f"b: {key} is finished, and slot {slot} holds {seen.digests.get(slot)}"


def _slots(it: Expected, seen: Seen) -> Iterator[str]:
    for slot, shown in seen.shown.items():
        lies = seen.digests.get(slot)
        if shown and lies not in it.known:
            yield f"b: slot {slot} is shown and holds {lies}, which nobody asked for"
        if not shown and lies is not None:
            yield f"c: slot {slot} is shown as empty and holds {lies}"
    for slot, lies in seen.digests.items():
        if seen.manifests.get(slot) != lies:
            yield f"c: slot {slot} holds {lies}, and its manifest says {seen.manifests.get(slot)}"
    for slot, digest in it.slots.items():
        lies = seen.digests.get(slot)
        if lies != digest and not (digest is None and lies in it.known):
            yield f"c: slot {slot} holds {lies} and not {digest}"


def _rest(it: Expected, seen: Seen, most: int) -> Iterator[str]:
    if it.has_user and not seen.logged_in:
        yield "a: the user that was added cannot log in"
    elif it.has_session and not seen.session:
        yield "a: the session that was given is not known"
    if it.certificate is not None and seen.certificate != it.certificate:
        yield f"c: the certificate was {it.certificate} and is {seen.certificate}"
    if seen.staged:
        yield f"c: staging is not empty: {', '.join(seen.staged)}"
    may_run = {it.upgraded} | {int(what) for verb, what in it.asked if verb == "upgrade"}
    if it.upgraded is not None and seen.current not in may_run:
        yield f"c: slot {seen.current} runs, and {it.upgraded} was chosen"
    if seen.chosen is not None and not seen.shown.get(seen.chosen):
        yield f"c: the choice is slot {seen.chosen}, which is empty"
    if seen.fetched > most:
        yield f"d: {seen.fetched} bytes were fetched again, {most} at most were to be"
