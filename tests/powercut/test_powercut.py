"""Power cuts of the real daemon: a sample of what `scripts/powercut` does, and that it can fail."""

from collections.abc import Callable

import pytest

from scripts.powercut_effects import Effect, Rename, Sync, Write
from scripts.powercut_promises import Seen, broken
from scripts.powercut_record import unavailable
from scripts.powercut_run import Selection, attempt
from scripts.powercut_scenarios import DIGEST, SCENARIOS

WHY_NOT = unavailable()
needs_fuse = pytest.mark.skipif(WHY_NOT is not None, reason=f"no power cuts here: {WHY_NOT}")


@needs_fuse
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_sample_of_cuts(scenario, tally) -> None:
    outcome = attempt(scenario.name, Selection(sample=25))
    assert outcome.broken == []
    assert outcome.tried >= 20
    tally("remainders of power cuts, a sample", outcome.tried)


class Forget:
    """Leaves syncs out of a record: of all files, of all directories, or of every kind."""

    def __init__(self, *, files: bool, directories: bool) -> None:
        self._nodes: set[int] = set()
        self._files, self._directories = files, directories

    def __call__(self, effect: Effect) -> bool:
        if isinstance(effect, Write):
            self._nodes.add(effect.node)
        if not isinstance(effect, Sync):
            return False
        return self._files if effect.node in self._nodes else self._directories


@needs_fuse
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("scenario", "forget"),
    [
        ("upload", Forget(files=True, directories=False)),
        ("upload", Forget(files=False, directories=True)),
        ("upgrade", Forget(files=True, directories=False)),
        ("upgrade", Forget(files=False, directories=True)),
        ("first-start", Forget(files=True, directories=True)),
    ],
)
def test_a_daemon_without_its_syncs_is_caught(
    scenario: str, forget: Callable[[Effect], bool]
) -> None:
    outcome = attempt(scenario, Selection(sample=60), forget=forget)
    assert outcome.broken, f"{outcome.tried} remainders, and nothing is missed"


@needs_fuse
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_image_that_comes_by_copying_is_caught() -> None:
    """Without the renames nothing is ever installed: what was told to be there is not."""
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
def test_each_broken_promise_is_told(marks, after, letter) -> None:
    told = broken(marks, after, most=1)
    assert any(sentence.startswith(f"{letter}: ") for sentence in told), told


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
def test_what_may_be_is_not_broken(marks, after) -> None:
    assert broken(marks, after, most=1) == []
