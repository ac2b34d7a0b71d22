"""The scenarios that are recorded and cut."""

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from scripts.programs.powercut.daemon import SYNC_WINDOW
from scripts.programs.powercut.record import FETCH, Stage, served_certificate
from spsd.storage.migrations import migrate, migrations_directory
from spsd.testing.origin import CutAfter, Hang

SIZE: Final = 150_000
IMAGE: Final = random.Random(1).randbytes(SIZE)
MOST: Final = 2 * SYNC_WINDOW + 5_000
"""The number of bytes after which a download hangs, beyond its second sync window."""
OTHER: Final = random.Random(2).randbytes(SIZE // 3)
DIGEST: Final = sha256(IMAGE).hexdigest()
OTHER_DIGEST: Final = sha256(OTHER).hexdigest()
WRONG: Final = "0" * 64
OBJECTS: Final = {"/image": IMAGE, "/other": OTHER}


@dataclass(frozen=True, slots=True)
class Scenario:
    """``prepare`` makes the initial state, and is not recorded; ``run`` is recorded and cut.

    ``known`` has marks of what the client knows before the run, besides the marks of ``prepare``.
    """

    name: str
    run: Callable[[Stage], None]
    prepare: Callable[[Stage], None] | None = None
    known: tuple[str, ...] = ("user-added",)
    plain: bool = True
    """Without TLS."""


def _upload(stage: Stage, content: bytes) -> int:
    response = stage.call(
        "POST",
        "/api/upload/firmware",
        content=content,
        headers={"Content-Type": "application/octet-stream"},
    )
    return int(response.document["key"])


def first_start(stage: Stage) -> None:
    """On an empty disk a user is added, and the daemon starts and makes a certificate."""
    stage.add_user()
    stage.mark("user-added")
    stage.start()
    stage.mark("pinned", served_certificate(stage.client.url))
    stage.log_in()


def fetch(stage: Stage) -> None:
    """A download with a broken connection, one with a wrong digest, and a removed record."""
    stage.start()
    stage.origin.script(CutAfter(SIZE // 2))
    stage.over(stage.submit("/image", DIGEST))
    wrong = stage.submit("/other", WRONG, "bad")
    stage.over(wrong)
    stage.mark("remove-sent", wrong)
    stage.call("DELETE", f"{FETCH}/{wrong}")
    stage.mark("removed", wrong)


def cancel(stage: Stage) -> None:
    """A download that is cancelled in the middle, and one that waits behind it."""
    stage.start()
    stage.origin.script(Hang(MOST))
    first, second = stage.submit("/image", DIGEST), stage.submit("/other", OTHER_DIGEST)
    stage.until(first, lambda body: body["bytes_downloaded"] >= 2 * SYNC_WINDOW)
    for key in (second, first):
        stage.mark("cancel-sent", key)
        stage.call("DELETE", f"{FETCH}/{key}")
        stage.until(key, lambda body: body["status"] == "cancelled")
        stage.mark("cancelled", key, None)


def upload(stage: Stage) -> None:
    """An image that a client sends."""
    stage.start()
    stage.mark("upload-sent", OTHER_DIGEST)
    stage.mark("uploaded", _upload(stage, OTHER), OTHER_DIGEST)


def interrupted(stage: Stage) -> None:
    """A download that a kill has interrupted beyond its second sync window."""
    stage.start("long ago")
    stage.origin.script(Hang(MOST))
    key = stage.submit("/image", DIGEST)
    stage.until(key, lambda body: body["bytes_downloaded"] >= 2 * SYNC_WINDOW)
    stage.kill()


def recovery(stage: Stage) -> None:
    """The next start, with the recovery of the interrupted download."""
    stage.start()
    [key] = [item["key"] for item in stage.call("GET", FETCH).document["items"]]
    stage.over(key)


def two_images(stage: Stage) -> None:
    """Slots 1 and 2 contain images, and slot 1 is the boot choice."""
    stage.start("long ago")
    _upload(stage, IMAGE)
    _upload(stage, OTHER)
    stage.call("POST", "/api/firmware/upgrade", json_body={"slot_id": 1})
    stage.stop()


def upgrade(stage: Stage) -> None:
    """Slot 1 runs, slot 2 is chosen, its activation hook runs."""
    stage.start()
    stage.mark("upgrade-sent", 2)
    stage.call("POST", "/api/firmware/upgrade", json_body={"slot_id": 2})
    stage.mark("upgraded", 2)


def empty(stage: Stage) -> None:
    """Slot 1 runs; slot 2 is emptied and filled again by a download."""
    stage.start()
    stage.mark("empty-sent", 2)
    stage.call("DELETE", "/api/firmware/slots/2")
    stage.mark("emptied", 2)
    stage.over(stage.submit("/other", OTHER_DIGEST))


def old_database(stage: Stage) -> None:
    """A state directory with the first database schema, and a queued job."""
    old = stage.root / "old-migrations"
    old.mkdir()
    first = next(migrations_directory().glob("0001_*.sql"))
    (old / first.name).write_text(first.read_text(encoding="utf-8"), encoding="utf-8")
    database = stage.state / "spsd.sqlite"
    with closing(sqlite3.connect(database)) as connection:
        accounts = connection.execute("SELECT * FROM account").fetchall()
        sessions = connection.execute("SELECT * FROM session").fetchall()
    for path in stage.state.glob("spsd.sqlite*"):
        path.unlink()
    migrate(database, old)
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.executemany("INSERT INTO account VALUES (?, ?, ?, ?, ?)", accounts)
        connection.executemany("INSERT INTO session VALUES (?, ?, ?, ?)", sessions)
        connection.execute(
            "INSERT INTO job (key, url, sha256, state, cause, attempt, spent, bytes_downloaded,"
            " bytes_total, created_at, changed_at)"
            " VALUES (?, ?, ?, 'queued', 'submit', 0, 0, 0, 0, 100, 100)",
            (OLD_KEY, stage.origin.url("/image"), DIGEST),
        )


OLD_KEY: Final = "0d000000-0000-4000-8000-000000000001"


def migration(stage: Stage) -> None:
    """The present daemon starts on the first database schema."""
    stage.start()
    stage.over(OLD_KEY)


_HELD: Final = ("user-added", f"held 1 {DIGEST}", f"held 2 {OTHER_DIGEST}", "upgraded 1")
SCENARIOS: Final = (
    Scenario("first-start", first_start, known=(), plain=False),
    Scenario("fetch", fetch, lambda _: None),
    Scenario("cancel", cancel, lambda _: None),
    Scenario("recovery", recovery, interrupted),
    Scenario("upload", upload, lambda _: None),
    Scenario("upgrade", upgrade, two_images, _HELD),
    Scenario("empty", empty, two_images, _HELD),
    Scenario(
        "migration",
        migration,
        old_database,
        ("user-added", f"submit-sent {DIGEST} good", f"accepted {OLD_KEY}"),
    ),
)
