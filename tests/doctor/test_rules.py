"""The findings of ``spsd doctor`` for facts at the limits of each rule."""

from dataclasses import replace

import pytest

from spsd.digest import Sha256
from spsd.doctor.rules import (
    DirectoryFacts,
    certificate_finding,
    clock_finding,
    database_findings,
    directory_findings,
    job_findings,
    ok,
    slot_finding,
    staging_findings,
    warning,
    wrong,
)
from spsd.jobs.job import Job, JobKey
from spsd.jobs.lifecycle import JobState
from spsd.slots.model import BrokenSlot, ImageInfo, InstalledImage
from spsd.storage.faults import ADVICE, DatabaseFault
from spsd.storage.inspection import Inspection

MIB = 1024 * 1024
A, B = Sha256("a" * 64), Sha256("b" * 64)
FACTS = DirectoryFacts(owner=5, user=6, mode=0o700, writable=True, free=3 * MIB)
GOOD = Inspection(
    application_id=0,
    version=2,
    newest=2,
    objects=frozenset({"job"}),
    expected=frozenset({"job"}),
    damage=(),
    used=True,
)
IMAGE = InstalledImage(A, 7, ImageInfo("1.2"), "job", 0)
ROOM = ok("room", "3 MiB are free; downloads leave 2 MiB free")


@pytest.mark.parametrize(
    ("facts", "finding"),
    [
        (FACTS, ok("state_directory", "/x, owner 5, mode 0700")),
        (
            replace(FACTS, writable=False, mode=0o070),
            wrong(
                "state_directory",
                "/x is not writable for user 6 (owner 5, mode 0070)",
                "Check its owner and mode, and how its file system is mounted.",
            ),
        ),
        *(
            (
                replace(FACTS, mode=mode),
                warning(
                    "state_directory",
                    f"other users have access to /x (mode {mode:04o})",
                    "Remove their access: chmod 700 /x.",
                ),
            )
            for mode in (0o701, 0o702, 0o704, 0o710, 0o720, 0o740)
        ),
    ],
)
def test_the_directory(facts, finding):
    assert list(directory_findings("/x", facts, spare=2 * MIB)) == [finding, ROOM]


@pytest.mark.parametrize(("free", "fits"), [(2 * MIB, False), (2 * MIB + 1, True)])
def test_room(free, fits):
    message = "2 MiB are free; downloads leave 2 MiB free"
    advice = "Free space on the file system, or empty a slot."
    finding = list(directory_findings("/x", replace(FACTS, free=free), spare=2 * MIB))[1]
    assert finding == (ok("room", message) if fits else wrong("room", message, advice))


FINE = ok("database", "/x, version 2, quick_check reports no damage")


@pytest.mark.parametrize(
    ("inspection", "orphans", "log_bytes", "findings"),
    [
        (GOOD, 0, 64 * MIB, [FINE]),
        (
            replace(GOOD, newest=3),
            0,
            0,
            [ok("database", "/x, version 2; the next start migrates it to version 3")],
        ),
        (
            replace(GOOD, damage=("bad page",)),
            9,
            99 * MIB,
            [
                wrong(
                    "database",
                    "/x: database_corrupt: SQLite's quick_check reports: bad page",
                    ADVICE[DatabaseFault.CORRUPT],
                )
            ],
        ),
        (
            GOOD,
            1,
            64 * MIB + 1,
            [
                FINE,
                wrong(
                    "database_rows",
                    "foreign_key_check reports 1 orphaned rows",
                    "Copy the database away and restore a backup.",
                ),
                warning(
                    "database_log",
                    "the write-ahead log has 64 MiB",
                    "A program keeps reading the database: find it with `fuser`, and end it.",
                ),
            ],
        ),
    ],
)
def test_the_database(inspection, orphans, log_bytes, findings):
    assert findings == list(
        database_findings("/x", inspection, orphans=orphans, log_bytes=log_bytes)
    )


def job(key, state, slot=None, digest=A):
    made = Job.submitted(JobKey(key), "u", digest, now=0)
    return replace(made, state=state, slot=slot)


SLOTS = {1: IMAGE, 2: None, 3: BrokenSlot("?")}
S = JobState


@pytest.mark.parametrize(
    ("jobs", "running", "findings"),
    [
        ([], False, [ok("jobs", "none")]),
        (
            [job("a", S.FINISHED, 1), job("b", S.QUEUED), job("c", S.QUEUED)],
            False,
            [ok("jobs", "2 queued, 1 finished")],
        ),
        (
            [job("a", S.INSTALLING, 2), job("b", S.DOWNLOADING)],
            False,
            [ok("jobs", "1 downloading, 1 installing; the next start resumes 2")],
        ),
        ([job("a", S.DOWNLOADING, 3)], True, [ok("jobs", "1 downloading")]),
        (
            [job("a", S.DOWNLOADING, 4), job("b", S.FAILED), job("c", S.QUEUED)],
            True,
            [
                ok("jobs", "1 queued, 1 downloading, 1 failed"),
                warning(
                    "jobs",
                    "job a has reserved slot 4, but there are 3 slots",
                    "No action is needed: the job takes another slot after the next start.",
                ),
            ],
        ),
        (
            [
                job("a", S.FINISHED, 3),
                job("b", S.FINISHED, 2),
                job("c", S.FINISHED, 9),
                job("d", S.FINISHED, 1, B),
                job("e", S.FINISHED, 2),
                job("f", S.FINISHED),
                job("g", S.DOWNLOADING, 2),
            ],
            True,
            [
                ok("jobs", "1 downloading, 6 finished"),
                ok("jobs_past", "images of finished jobs are no longer in their slots: 1, 2, 3, 9"),
            ],
        ),
    ],
)
def test_jobs(jobs, running, findings):
    assert list(job_findings(jobs, SLOTS, running=running)) == findings


RESTORE = "Restore a backup, or fetch the image again."


@pytest.mark.parametrize(
    ("content", "size", "intact", "finding"),
    [
        (None, None, None, ok("slot_2", "empty")),
        (
            BrokenSlot("no manifest"),
            7,
            True,
            wrong(
                "slot_2",
                "no manifest",
                "Inspect the slot, then move it out of the slots directory.",
            ),
        ),
        (IMAGE, None, None, wrong("slot_2", "its image is missing", RESTORE)),
        (
            IMAGE,
            8,
            True,
            wrong("slot_2", "its image has 8 bytes, but its manifest states 7", RESTORE),
        ),
        (
            IMAGE,
            7,
            False,
            wrong("slot_2", f"its image does not have the SHA-256 {A}", RESTORE),
        ),
        (IMAGE, 7, True, ok("slot_2", "1.2, 7 bytes, SHA-256 verified")),
        (IMAGE, 7, None, ok("slot_2", "1.2, 7 bytes, SHA-256 not verified (--deep does)")),
    ],
)
def test_slots(content, size, intact, finding):
    assert slot_finding(2, content, size=size, intact=intact) == finding


@pytest.mark.parametrize(
    ("resumable", "running", "findings"),
    [
        (["a", "b", "c"], False, [ok("staging", "2 partial images that jobs can resume, 7 bytes")]),
        (
            ["a"],
            False,
            [
                ok("staging", "1 partial images that jobs can resume, 3 bytes"),
                warning(
                    "staging_left",
                    "1 entries that no job can resume, 4 bytes",
                    "The next start removes those that spsd made; remove the others.",
                ),
            ],
        ),
        (["b"], True, [ok("staging", "1 partial images that jobs can resume, 4 bytes")]),
    ],
)
def test_staging(resumable, running, findings):
    assert list(staging_findings({"a": 3, "b": 4}, resumable, running=running)) == findings


YEAR_2025 = 1_735_689_600


@pytest.mark.parametrize(
    ("now", "newest", "finding"),
    [
        (
            YEAR_2025 - 1,
            0,
            wrong("clock", "the clock is before 2025", "Set the clock: certificates depend on it."),
        ),
        (YEAR_2025, YEAR_2025 + 86_400, ok("clock", "not behind the newest change of a job")),
        (
            YEAR_2025,
            YEAR_2025 + 86_401,
            warning(
                "clock",
                "the newest change of a job is 86401 s in the future",
                "Check the clock: it was set back.",
            ),
        ),
    ],
)
def test_the_clock(now, newest, finding):
    assert clock_finding(now, newest) == finding


RENEW = "Renew it, and reload the daemon."


@pytest.mark.parametrize(
    ("days", "finding"),
    [
        (
            -1,
            wrong(
                "certificate",
                "/x expired 1 days ago",
                "Install a new one, and reload the daemon.",
            ),
        ),
        (
            0,
            warning(
                "certificate", "/x is valid for 0 more days", "Renew it, and reload the daemon."
            ),
        ),
        (
            29,
            warning(
                "certificate", "/x is valid for 29 more days", "Renew it, and reload the daemon."
            ),
        ),
        (30, ok("certificate", "/x is valid for 30 more days")),
    ],
)
def test_the_certificate(days, finding):
    assert certificate_finding("/x", days) == finding


@pytest.mark.parametrize(
    ("days", "words"), [(-3, "expired 3 days ago"), (29, "is valid for 29 more days")]
)
def test_a_self_signed_certificate_is_the_daemons_affair(days, words):
    finding = certificate_finding("/x", days, self_signed=True)
    assert finding.grade.value == "warning"
    assert words in finding.line()
    assert "The daemon renews it" in finding.line()
    assert certificate_finding("/x", 30, self_signed=True).grade.value == "ok"
