"""Downloads that the run submits; the responses on the way are recorded for the facts."""

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
from spsd.testing.conformance import checks
from spsd.testing.conformance.checks import Broken, NotTried
from spsd.testing.conformance.image import self_signed_context
from spsd.testing.conformance.target import FETCH, POLL_S, SLOTS, Target, local_address
from spsd.testing.origin import Hang, ThreadedOrigin

Document: TypeAlias = dict[str, Any]

SIZE = 3 << 20
HANG_AFTER = 1 << 20
WRONG = hashlib.sha256(b"of nothing that is served").hexdigest()
"""The digest of an image that no origin of the run serves."""
UNCONNECTED = "http://127.0.0.1:9/image.iso"
"""No server listens there, and a policy against loopback addresses refuses it at once."""
AT_REST = ("finished", "failed", "cancelled")


@dataclass
class DownloadRecord:
    """The responses about one download: to the POST, and later ones."""

    posted: Answer
    key: str
    url: str
    sha256: str
    document: Document = field(default_factory=dict)
    """The download by itself, in the state in which it was recorded."""
    item: Document = field(default_factory=dict)
    """The item of the list at that time."""
    list_document: Document = field(default_factory=dict)
    """The list at that time."""
    first_delete: Answer | None = None
    after_first_delete: Answer | None = None
    """GET after the first DELETE."""
    second_delete: Answer | None = None
    """The second DELETE, if the first one cancels."""
    after_removal: Answer | None = None
    """GET after the record was removed."""
    list_after_removal: Document = field(default_factory=dict)
    slots: tuple[Document, Document] = ({}, {})
    """The list of slots before and after the download."""

    @property
    def path(self) -> str:
        """The path of the download."""
        return f"{FETCH}/{self.key}"

    @property
    def body(self) -> Document:
        """The body with its eight members."""
        return checks.mapping(checks.member(self.document, "body"), "body")

    def check_nulls(self, *names: str) -> None:
        """Check that these members of the body are null."""
        for name in names:
            checks.member_is(self.document, f"body.{name}", None)

    def delete_answer(self) -> Answer:
        """The response to the first DELETE."""
        if self.first_delete is None:
            raise Broken("it was not deleted")
        return self.first_delete

    def still_there(self) -> Answer:
        """The response to GET after the first DELETE, which must be 200."""
        if self.after_first_delete is None:
            raise Broken("it was not deleted")
        checks.status(self.after_first_delete, 200)
        return self.after_first_delete

    def check_cancelled(self) -> None:
        """Check that the first DELETE cancelled the download and kept its record."""
        checks.success(self.delete_answer())
        checks.member_is(checks.document(self.still_there()), "body.status", "cancelled")

    def check_removed(self) -> None:
        """Check that the record can no longer be read and is no longer in the list."""
        if self.after_removal is None or self.after_removal.status < 400:
            raise Broken("it can still be read")
        if list_item(self.list_after_removal, self.key):
            raise Broken("it is still listed")


def submit(target: Target, url: str, sha256: str, **more: Any) -> DownloadRecord:  # noqa: ANN401
    """Submit a download; it is removed at the end of the run.

    `more` are arguments of `Target.call`, which replace the usual body.
    """
    more = more or {"json_body": {"url": url, "checksum": {"sha256": sha256}}}
    answer = target.call("POST", FETCH, **more)
    if answer.status >= 300:
        raise Broken(f"the fetch was refused: {checks.content(answer)}")
    key = checks.string(checks.member(checks.document(answer), "key"), "key")
    target.remove_job_at_end(key)
    return DownloadRecord(answer, key, url, sha256)


def poll_until(
    target: Target, download: DownloadRecord, holds: Callable[[Document], bool], state: str
) -> Document:
    """Read the download until the condition holds for its body; returns the whole document.

    Raises:
        NotTried: The condition did not hold within the run's `job_timeout_s`; the message says
            that the download is not in this `state`.
    """
    until = time.monotonic() + target.job_timeout_s
    while True:
        document = target.read(download.path)
        body = checks.mapping(checks.member(document, "body"), "body")
        checks.member(body, "status")
        if holds(body):
            return document
        if time.monotonic() > until:
            raise NotTried(f"not {state} in {target.job_timeout_s:g} s: {checks.brief(body)}")
        time.sleep(POLL_S)


def is_over(body: Document) -> bool:
    """Whether the status is terminal; an unknown status counts as terminal."""
    return body["status"] not in ("queued", "in-progress")


def record_list(target: Target, download: DownloadRecord) -> None:
    """Record how the list shows the download."""
    download.list_document = target.read(FETCH)
    download.item = list_item(download.list_document, download.key)


def list_item(listing: Document, key: str) -> Document:
    """The item with this key; an empty object if there is none."""
    for item in checks.array(checks.member(listing, "items"), "items"):
        if isinstance(item, dict) and item.get("key") == key:
            return item
    return {}


def remove(target: Target, download: DownloadRecord, *, cancels: bool) -> None:
    """DELETE the download until it is removed, and record each response."""
    download.first_delete = target.call("DELETE", download.path)
    if cancels:
        poll_until(target, download, lambda body: body["status"] != "in-progress", "cancelled")
    download.after_first_delete = target.call("GET", download.path)
    if cancels:
        download.second_delete = target.call("DELETE", download.path)
    download.after_removal = target.call("GET", download.path)
    download.list_after_removal = target.read(FETCH)


def submitted(target: Target) -> DownloadRecord:
    """A submitted download; its outcome does not matter."""
    return target.once("posted", lambda: submit(target, UNCONNECTED, WRONG))


def unconnected(target: Target) -> DownloadRecord:
    """A download that fails before there is a connection to the origin."""

    def run() -> DownloadRecord:
        download = submitted(target)
        download.document = poll_until(target, download, is_over, "over")
        record_list(target, download)
        remove(target, download, cancels=False)
        return download

    return target.once("unconnected", run)


def mismatched(target: Target) -> DownloadRecord:
    """A download whose bytes do not have the requested digest."""

    def run() -> DownloadRecord:
        origin = target.origin({"/image.iso": secrets.token_bytes(50_000)})
        before = target.read(SLOTS)
        download = submit(target, origin.url("/image.iso"), WRONG)
        download.document = poll_until(target, download, is_over, "over")
        download.slots = before, target.read(SLOTS)
        require_reached(target, origin, download.body)
        record_list(target, download)
        remove(target, download, cancels=False)
        return download

    return target.once("mismatched", run)


def require_reached(target: Target, origin: ThreadedOrigin, body: Document) -> None:
    """Check that the server has sent a request to the origin.

    Raises:
        NotTried: It has not; the message says what the user can do.
    """
    if origin.requests:
        return
    where = urlsplit(origin.url("/")).netloc
    host = target.origin_host or local_address(target.session.url)
    raise NotTried(
        f"the server did not reach the run's origin at {where}: "
        f"{checks.brief(body.get('error'))}; name another address of this machine with "
        f"--origin-host, or let the server fetch from {host} (spsd: [fetch] allow)"
    )


@dataclass
class Running:
    """A download that hangs half-way, and a second one of the same URL that waits for it."""

    hanging: DownloadRecord
    waiting: DownloadRecord
    size: int


def running(target: Target) -> Running:
    """Two downloads whose origin sends a part and then hangs, so that they can be cancelled."""

    def run() -> Running:
        image = secrets.token_bytes(SIZE)
        origin = target.origin({"/image.iso": image}, always=Hang(HANG_AFTER))
        sha256 = hashlib.sha256(image).hexdigest()
        hanging = submit(target, origin.url("/image.iso"), sha256)
        hanging.document = poll_until(
            target,
            hanging,
            lambda body: body["status"] in AT_REST or bool(body.get("bytes_downloaded")),
            "downloading",
        )
        require_reached(target, origin, hanging.body)
        waiting = submit(target, origin.url("/image.iso"), sha256)
        waiting.document = target.read(waiting.path)
        record_list(target, waiting)
        record_list(target, hanging)
        remove(target, waiting, cancels=True)
        remove(target, hanging, cancels=True)
        return Running(hanging, waiting, len(image))

    return target.once("running", run)


def accepted(target: Target, name: str, **more: Any) -> DownloadRecord:  # noqa: ANN401 - as Client.call
    """A download that is submitted with a request of another form, then cancelled."""

    def run() -> DownloadRecord:
        download = submit(target, UNCONNECTED, WRONG, **more)
        target.call("DELETE", download.path)
        return download

    return target.once(f"accepted {name}", run)


def untrusted_requests(target: Target) -> int:
    """The number of requests at an https origin whose certificate no authority has signed."""

    def run() -> int:
        host = target.origin_host or local_address(target.session.url)
        directory = Path(target.enter(tempfile.TemporaryDirectory))
        context = self_signed_context(directory, host)
        origin = target.origin({"/image.iso": secrets.token_bytes(5_000)}, ssl_context=context)
        download = submit(target, origin.url("/image.iso"), WRONG)
        poll_until(target, download, lambda body: is_over(body) or bool(origin.requests), "over")
        count = len(origin.requests)
        mismatched(target)  # raises NotTried if the server can reach no origin of this run
        return count

    return target.once("distrusted", run)
