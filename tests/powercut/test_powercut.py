"""Power cuts of the real daemon: a sample of `scripts/powercut`, and defects that it detects."""

import pytest

from scripts.programs.powercut.effects import Rename, Sync
from scripts.programs.powercut.promises import Observation, broken
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
    ("scenario", "needed"),
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
def test_without_a_needed_sync_a_promise_breaks(scenario: str, needed: set[str], tally) -> None:
    rows = without_each_sync(scenario, Selection())
    assert {row.kind for row in rows if row.broken} == needed
    tally("kinds of sync whose lack breaks a promise", len(needed))


@needs_fuse
@pytest.mark.timeout(300)
def test_a_first_start_without_any_sync_is_detected() -> None:
    outcome = attempt("first-start", Selection(sample=60), forget=lambda e: isinstance(e, Sync))
    assert outcome.broken, f"{outcome.tried} remainders, and no promise breaks"


@needs_fuse
@pytest.mark.timeout(300)
def test_an_install_without_renames_is_detected() -> None:
    """Without the renames no image is on disk, although the client had a response that it is."""
    outcome = attempt("upload", Selection(sample=60), forget=lambda e: isinstance(e, Rename))
    assert outcome.broken


def observed(**changes) -> Observation:
    defaults = {
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
    return Observation(**defaults | changes)


def job(status: str, slot: int | None = None, error: str | None = None) -> dict[str, object]:
    return {"status": status, "slot_id": slot, "error": error}


ACCEPTED = (["user-added"], ["submit-sent", DIGEST, "good"], ["accepted", "k"])
FINISHED = (*ACCEPTED, ["finished", "k", "1"])
INSTALLED = {"shown": {1: True}, "digests": {1: DIGEST}, "manifests": {1: DIGEST}}


@pytest.mark.parametrize(
    ("marks", "after", "letter"),
    [
        (ACCEPTED, observed(), "a"),
        (ACCEPTED, observed(jobs={"k": job("failed", error="disk: no")}), "c"),
        (ACCEPTED, observed(jobs={"k": job("cancelled")}), "c"),
        (ACCEPTED, observed(jobs={"k": job("finished", 1)}), "b"),
        (ACCEPTED, observed(jobs={"k": job("finished", 1)}, **INSTALLED, staged=["x"]), "c"),
        (ACCEPTED, observed(jobs={"k": job("finished", 1)}, **INSTALLED, fetched=2), "d"),
        (ACCEPTED, observed(jobs={"k": job("finished", 1)}, **INSTALLED, logged_in=False), "a"),
        ((["logged-in"],), observed(session=False), "a"),
        ((["pinned", "x"],), observed(certificate="y"), "c"),
        ((["uploaded", "1", DIGEST],), observed(**INSTALLED | {"manifests": {1: None}}), "c"),
        (FINISHED, observed(jobs={"k": job("failed", error="digest: x")}, **INSTALLED), "a"),
        (FINISHED, observed(jobs={"k": job("finished", 1)}), "b"),
        ((), observed(shown={1: True}, digests={1: DIGEST}), "b"),
        ((), observed(digests={1: DIGEST}), "c"),
        ((["uploaded", "1", DIGEST],), observed(), "c"),
        ((["emptied", "1"],), observed(digests={1: "x"}, shown={1: True}), "b"),
        ((["upgraded", "1"],), observed(current=2), "c"),
        ((), observed(chosen=1), "c"),
    ],
)
def test_each_broken_promise_is_reported(marks, after, letter) -> None:
    sentences = broken(marks, after, most=1)
    assert any(sentence.startswith(f"{letter}: ") for sentence in sentences), sentences


@pytest.mark.parametrize(
    ("marks", "after"),
    [
        ((), observed()),
        ((), observed(session=False, certificate="y")),
        (ACCEPTED, observed(jobs={"k": job("finished", 1)}, **INSTALLED, fetched=1)),
        ((*ACCEPTED, ["remove-sent", "k"]), observed()),
        ((*ACCEPTED, ["cancel-sent", "k"]), observed(jobs={"k": job("cancelled")})),
        ((["held", "1", DIGEST], ["empty-sent", "1"]), observed()),
        ((["held", "1", DIGEST], ["empty-sent", "1"]), observed(**INSTALLED)),
        ((["upgraded", "1"], ["upgrade-sent", "2"]), observed(current=2)),
    ],
)
def test_no_promise_is_broken_by_an_allowed_state(marks, after) -> None:
    assert broken(marks, after, most=1) == []
