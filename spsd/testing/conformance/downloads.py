"""Downloads that the run asks for, each followed to its end and written down on the way."""

import hashlib
import secrets
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from spsd.testing.client import Answer
from spsd.testing.conformance import reading
from spsd.testing.conformance.image import untrusted
from spsd.testing.conformance.reading import Broken, NotTried
from spsd.testing.conformance.target import FETCH, POLL_S, SLOTS, Target, local_address
from spsd.testing.origin import Hang, ThreadedOrigin

Document: TypeAlias = dict[str, Any]

SIZE = 3 << 20
HELD_AFTER = 1 << 20
WRONG = hashlib.sha256(b"of nothing that is served").hexdigest()
UNCONNECTED = "http://127.0.0.1:9/image.iso"
"""Nobody listens there, and a server that never goes there says so at once."""
AT_REST = ("finished", "failed", "cancelled")


@dataclass
class Course:
    """What one download showed: the answer to the POST, then itself at a few moments."""

    posted: Answer
    key: str
    url: str
    sha256: str
    alone: Document = field(default_factory=dict)
    """By itself, in the state that the scene is about."""
    listed: Document = field(default_factory=dict)
    """As an item of the list, then."""
    listing: Document = field(default_factory=dict)
    deleted: Answer | None = None
    """The answer to the first DELETE."""
    after: Answer | None = None
    """GET after that."""
    removed: Answer | None = None
    """The answer to the second DELETE, if the first one cancels."""
    gone: Answer | None = None
    """GET when it is removed."""
    left: Document = field(default_factory=dict)
    """The list, then."""
    slots: tuple[Document, Document] = ({}, {})
    """The list of slots before and after the download."""

    @property
    def path(self) -> str:
        """Where the download is."""
        return f"{FETCH}/{self.key}"

    @property
    def body(self) -> Document:
        """Its eight members."""
        return reading.mapping(reading.at(self.alone, "body"), "body")

    def nulls(self, *names: str) -> None:
        """These members of the body are null."""
        for name in names:
            reading.is_at(self.alone, f"body.{name}", None)

    def answered_delete(self) -> Answer:
        """The answer to the first DELETE."""
        if self.deleted is None:
            raise Broken("it was not deleted")
        return self.deleted

    def after_delete(self) -> Answer:
        """The download as it was still there after the first DELETE."""
        if self.after is None:
            raise Broken("it was not deleted")
        reading.status(self.after, 200)
        return self.after

    def was_cancelled(self) -> None:
        """The first DELETE cancelled it, and left the record."""
        reading.succeeded(self.answered_delete())
        reading.is_at(reading.document(self.after_delete()), "body.status", "cancelled")

    def was_removed(self) -> None:
        """It is neither there nor in the list any more."""
        if self.gone is None or self.gone.status < 400:
            raise Broken("it can still be read")
        if item(self.left, self.key):
            raise Broken("it is still listed")


def submit(target: Target, url: str, sha256: str, **more: Any) -> Course:  # noqa: ANN401
    """Ask for a download; it is taken away at the end of the run."""
    more = more or {"json_body": {"url": url, "checksum": {"sha256": sha256}}}
    answer = target.call("POST", FETCH, **more)
    if answer.status >= 300:
        raise Broken(f"the fetch was refused: {reading.content(answer)}")
    key = reading.text(reading.at(reading.document(answer), "key"), "key")
    target.owns_job(key)
    return Course(answer, key, url, sha256)


def follow(
    target: Target, course: Course, holds: Callable[[Document], bool], what: str
) -> Document:
    """Look at the download until something holds.

    Raises:
        NotTried: it has not within the run's patience.
    """
    until = time.monotonic() + target.patience_s
    while True:
        document = target.now(course.path)
        body = reading.mapping(reading.at(document, "body"), "body")
        reading.at(body, "status")
        if holds(body):
            return document
        if time.monotonic() > until:
            raise NotTried(f"not {what} in {target.patience_s:g} s: {reading.shown(body)}")
        time.sleep(POLL_S)


def over(body: Document) -> bool:
    """It is in none of the states that change by themselves, whatever it calls its own."""
    return body["status"] not in ("queued", "in-progress")


def show(target: Target, course: Course) -> None:
    """Note how the list shows the download."""
    course.listing = target.now(FETCH)
    course.listed = item(course.listing, course.key)


def item(listing: Document, key: str) -> Document:
    """The item of this key, or an empty one."""
    for one in reading.array(reading.at(listing, "items"), "items"):
        if isinstance(one, dict) and one.get("key") == key:
            return one
    return {}


def remove(target: Target, course: Course, *, cancels: bool) -> None:
    """DELETE as often as it takes, and note each answer."""
    course.deleted = target.call("DELETE", course.path)
    if cancels:
        follow(target, course, lambda body: body["status"] != "in-progress", "cancelled")
    course.after = target.call("GET", course.path)
    if cancels:
        course.removed = target.call("DELETE", course.path)
    course.gone = target.call("GET", course.path)
    course.left = target.now(FETCH)


def posted(target: Target) -> Course:
    """A download that is asked for, whatever becomes of it."""
    return target.once("posted", lambda: submit(target, UNCONNECTED, WRONG))


def unconnected(target: Target) -> Course:
    """The same, which fails before there is a connection."""

    def scene() -> Course:
        course = posted(target)
        course.alone = follow(target, course, over, "over")
        show(target, course)
        remove(target, course, cancels=False)
        return course

    return target.once("unconnected", scene)


def mismatched(target: Target) -> Course:
    """A download of bytes with another digest than the one asked for."""

    def scene() -> Course:
        origin = target.origin({"/image.iso": secrets.token_bytes(50_000)})
        before = target.now(SLOTS)
        course = submit(target, origin.url("/image.iso"), WRONG)
        course.alone = follow(target, course, over, "over")
        course.slots = before, target.now(SLOTS)
        reached(target, origin, course.body)
        show(target, course)
        remove(target, course, cancels=False)
        return course

    return target.once("mismatched", scene)


def reached(target: Target, origin: ThreadedOrigin, body: Document) -> None:
    """The server has asked the origin; else what can be done about it.

    Raises:
        NotTried: it has not.
    """
    if origin.requests:
        return
    where = urlsplit(origin.url("/")).netloc
    host = target.origin_host or local_address(target.session.url)
    raise NotTried(
        f"the server did not reach the run's origin at {where}: "
        f"{reading.shown(body.get('error'))}; name another address of this machine with "
        f"--origin-host, or let the server fetch from {host} (spsd: [fetch] allow)"
    )


@dataclass
class Running:
    """A download that is held half-way, and one of the same URL behind it."""

    held: Course
    waiting: Course
    size: int


def running(target: Target) -> Running:
    """The origin sends a part and then nothing, so that there is time to look and to cancel."""

    def scene() -> Running:
        image = secrets.token_bytes(SIZE)
        origin = target.origin({"/image.iso": image}, always=Hang(HELD_AFTER))
        sha256 = hashlib.sha256(image).hexdigest()
        held = submit(target, origin.url("/image.iso"), sha256)
        held.alone = follow(
            target,
            held,
            lambda body: body["status"] in AT_REST or bool(body.get("bytes_downloaded")),
            "downloading",
        )
        reached(target, origin, held.body)
        waiting = submit(target, origin.url("/image.iso"), sha256)
        waiting.alone = target.now(waiting.path)
        show(target, waiting)
        show(target, held)
        remove(target, waiting, cancels=True)
        remove(target, held, cancels=True)
        return Running(held, waiting, len(image))

    return target.once("running", scene)


def accepted(target: Target, name: str, **more: Any) -> Course:  # noqa: ANN401 - as Client.call
    """A download that is only asked for, in a way of its own."""

    def scene() -> Course:
        course = submit(target, UNCONNECTED, WRONG, **more)
        target.call("DELETE", course.path)
        return course

    return target.once(f"accepted {name}", scene)


def distrusted(target: Target) -> int:
    """How many requests come to an https origin whose certificate nobody vouches for."""

    def scene() -> int:
        host = target.origin_host or local_address(target.session.url)
        directory = Path(target.directory(tempfile.TemporaryDirectory))
        origin = target.origin(
            {"/image.iso": secrets.token_bytes(5_000)}, ssl_context=untrusted(directory, host)
        )
        course = submit(target, origin.url("/image.iso"), WRONG)
        follow(target, course, lambda body: over(body) or bool(origin.requests), "over")
        asked = len(origin.requests)
        mismatched(target)  # NotTried, if no origin of this run can be reached at all
        return asked

    return target.once("distrusted", scene)
