"""The table of transitions: every pair of state and trigger, and the diagram."""

import itertools

import pytest

from spsd.jobs.lifecycle import (
    ACTIVE,
    TERMINAL,
    IllegalTransitionError,
    JobState,
    Trigger,
    advance,
    diagram,
)

S, T = JobState, Trigger
# (state, trigger): (state after it if the guard allows a retry, state after it if not)
EXPECTED = {
    (S.QUEUED, T.START): (S.DOWNLOADING, S.DOWNLOADING),
    (S.QUEUED, T.CANCEL): (S.CANCELLED, S.CANCELLED),
    (S.DOWNLOADING, T.PROGRESS): (S.DOWNLOADING, S.DOWNLOADING),
    (S.DOWNLOADING, T.FOUND): (S.FINISHED, S.FINISHED),
    (S.DOWNLOADING, T.VERIFY): (S.INSTALLING, S.INSTALLING),
    (S.DOWNLOADING, T.FAIL): (S.DOWNLOADING, S.FAILED),
    (S.DOWNLOADING, T.CANCEL): (S.CANCELLED, S.CANCELLED),
    (S.DOWNLOADING, T.INTERRUPT): (S.QUEUED, S.FAILED),
    (S.DOWNLOADING, T.STOP): (S.QUEUED, S.QUEUED),
    (S.INSTALLING, T.INSTALL): (S.FINISHED, S.FINISHED),
    (S.INSTALLING, T.FAIL): (S.FAILED, S.FAILED),
    (S.INSTALLING, T.INTERRUPT): (S.QUEUED, S.FAILED),
    (S.INSTALLING, T.STOP): (S.QUEUED, S.QUEUED),
}


@pytest.mark.parametrize("may_retry", [True, False])
@pytest.mark.parametrize(("state", "trigger"), list(itertools.product(JobState, Trigger)))
def test_every_pair_moves_as_expected_or_is_illegal(state, trigger, may_retry):
    if (ends := EXPECTED.get((state, trigger))) is None:
        with pytest.raises(
            IllegalTransitionError, match=f"{trigger} is no transition from {state}"
        ):
            advance(state, trigger, may_retry=may_retry)
    else:
        reached = advance(state, trigger, may_retry=may_retry)
        assert reached is ends[0 if may_retry else 1]


def test_the_guard_allows_no_retry_by_default():
    assert advance(S.DOWNLOADING, T.FAIL) is S.FAILED


def test_every_state_is_queued_active_or_terminal():
    assert ACTIVE | TERMINAL | {S.QUEUED} == set(JobState)
    assert not ACTIVE & TERMINAL


def test_stored_states_and_triggers_keep_their_names():
    states = "queued downloading installing finished failed cancelled"
    triggers = "submit start progress found verify install fail cancel interrupt stop"
    assert [state.value for state in JobState] == states.split()
    assert [trigger.value for trigger in Trigger] == triggers.split()


def test_the_diagram_has_each_line_of_the_table():
    lines = {line.strip() for line in diagram().splitlines()}
    for (state, trigger), (may, must) in EXPECTED.items():
        guard = " [may retry]" if may is not must else ""
        assert f"{state} --> {may}: {trigger}{guard}" in lines
        if guard:
            assert f"{state} --> {must}: {trigger}" in lines
    assert {f"{state} --> [*]" for state in TERMINAL} <= lines
