"""Power cuts of the real daemon: a sample of `scripts/powercut`, and runs that must fail."""

import pytest

from scripts.programs.powercut.effects import Rename, Sync
from scripts.programs.powercut.promises import Seen, broken
from scripts.programs.powercut.run import Selection, attempt, without_each_sync
from scripts.programs.powercut.scenarios import DIGEST, SCENARIOS
from testbed import needs

needs_fuse = needs.fuse()


@needs_fuse
@pytest.mark.timeout(300)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_sample_of_cuts(scenario, tally) -> None:
    outcome = attempt(scenario.name, Selection(sample=25))
    assert outcome.broken == []
    assert outcome.tried >= 20
    tally("remainders of power cuts, a sample", outcome.tried)


@needs_fuse
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("scenario", "missed"),
    [
        (
            "upload",
            {
                "directory /state/slots",
                "directory /state/staging/upload-UUID",
                "file /state/staging/upload-UUID/image",
                "file /state/staging/upload-UUID/.manifest.json.new",
            },
        ),
        ("upgrade", {"directory /state/slots", "file /state/slots/.boot.json.new"}),
    ],
)
def test_each_sync_that_the_daemon_needs_is_missed(scenario: str, missed: set[str], tally) -> None:
    rows = without_each_sync(scenario, Selection())
    assert {row.kind for row in rows if row.broken} == missed
    tally("kinds of sync whose lack breaks a promise", len(missed))


@needs_fuse
@pytest.mark.timeout(300)
def test_a_first_start_without_any_sync_is_caught() -> None:
    outcome = attempt("first-start", Selection(sample=60), forget=lambda e: isinstance(e, Sync))
    assert outcome.broken, f"{outcome.tried} remainders, and nothing is missed"


@needs_fuse
@pytest.mark.timeout(300)
def test_an_install_without_renames_is_caught() -> None:
    """Without the renames no image is installed, although the daemon reported that it was."""
    outcome = attempt("upload", Selection(sample=60), forget=lambda e: isinstance(e, Rename))
    assert outcome.broken


def seen(**more) -> Seen:
    quiet = {
        "jobs": {},
        "shown": {1: False},
        "digests": {},
        "current": None,
        "chosen": None,
        "staged": [],
        "manifests": {},
        "logged_in": True,
        "session": True,
        "certificate": None,
        "fetched": 0,
    }
    return Seen(**quiet | more)


def job(status: str, slot: int | None = None, error: str | None = None) -> dict[str, object]:
    return {"status": status, "slot_id": slot, "error": error}


ACCEPTED = (["user-added"], ["submit-sent", DIGEST, "good"], ["accepted", "k"])
FINISHED = (*ACCEPTED, ["finished", "k", "1"])
HERE = {"shown": {1: True}, "digests": {1: DIGEST}, "manifests": {1: DIGEST}}


@pytest.mark.parametrize(
    ("marks", "after", "letter"),
    [
        (ACCEPTED, seen(), "a"),
        (ACCEPTED, seen(jobs={"k": job("failed", error="disk: no")}), "c"),
        (ACCEPTED, seen(jobs={"k": job("cancelled")}), "c"),
        (ACCEPTED, seen(jobs={"k": job("finished", 1)}), "b"),
        (ACCEPTED, seen(jobs={"k": job("finished", 1)}, **HERE, staged=["x"]), "c"),
        (ACCEPTED, seen(jobs={"k": job("finished", 1)}, **HERE, fetched=2), "d"),
        (ACCEPTED, seen(jobs={"k": job("finished", 1)}, **HERE, logged_in=False), "a"),
        ((["logged-in"],), seen(session=False), "a"),
        ((["pinned", "x"],), seen(certificate="y"), "c"),
        ((["uploaded", "1", DIGEST],), seen(**HERE | {"manifests": {1: None}}), "c"),
        (FINISHED, seen(jobs={"k": job("failed", error="digest: x")}, **HERE), "a"),
        (FINISHED, seen(jobs={"k": job("finished", 1)}), "b"),
        ((), seen(shown={1: True}, digests={1: DIGEST}), "b"),
        ((), seen(digests={1: DIGEST}), "c"),
        ((["uploaded", "1", DIGEST],), seen(), "c"),
        ((["emptied", "1"],), seen(digests={1: "x"}, shown={1: True}), "b"),
        ((["upgraded", "1"],), seen(current=2), "c"),
        ((), seen(chosen=1), "c"),
    ],
)
def test_each_broken_promise_is_reported(marks, after, letter) -> None:
    sentences = broken(marks, after, most=1)
    assert any(sentence.startswith(f"{letter}: ") for sentence in sentences), sentences


@pytest.mark.parametrize(
    ("marks", "after"),
    [
        ((), seen()),
        ((), seen(session=False, certificate="y")),
        (ACCEPTED, seen(jobs={"k": job("finished", 1)}, **HERE, fetched=1)),
        ((*ACCEPTED, ["remove-sent", "k"]), seen()),
        ((*ACCEPTED, ["cancel-sent", "k"]), seen(jobs={"k": job("cancelled")})),
        ((["held", "1", DIGEST], ["empty-sent", "1"]), seen()),
        ((["held", "1", DIGEST], ["empty-sent", "1"]), seen(**HERE)),
        ((["upgraded", "1"], ["upgrade-sent", "2"]), seen(current=2)),
    ],
)
def test_possible_states_break_no_promise(marks, after) -> None:
    assert broken(marks, after, most=1) == []
