"""The states of a job and the transitions between them, as one constant table.

Every legal transition is a line of ``TRANSITIONS``. A transition without a line is illegal: it
raises, and changes nothing. The API documents five states; its "in progress" is two states here,
DOWNLOADING and INSTALLING, because only the first can be cancelled, and because after a crash a row
may be in either. There is a state only if a stored row can have it.

- START claims a job. The attempt is charged here, before anything can crash.
- FAIL leaves a job in DOWNLOADING while another attempt may help and the budget lasts: the job
  waits for its next attempt, with its slot reserved and its partial file on disk.
- PROGRESS records that more new bytes have been received than the stall floor: the budget is whole
  again. It is a separate transition, so that these bytes count even if the attempt then ends by a
  crash, which records nothing.
- INTERRUPT is triggered by recovery for a job that was active when the last daemon ended. It has
  the guard of FAIL, so that an image that crashes the daemon is not tried forever.
- STOP queues a job again when the daemon stops in an orderly way; it refunds the charged attempt.

The library holds the table and evaluates the guards. Its machine is shared by all jobs and has no
state: each evaluation uses a temporary subject. There are no callbacks. (The library's asyncio
variant swallows cancellation, upstream issues 704 and 713.)
"""

from enum import StrEnum
from typing import Final

from transitions import Machine, MachineError


class JobState(StrEnum):
    """The state of a job; the values are stored in the database."""

    QUEUED = "queued"
    DOWNLOADING = "downloading"
    INSTALLING = "installing"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Trigger(StrEnum):
    """What causes a transition; the value is stored as the cause of the row's state."""

    SUBMIT = "submit"
    START = "start"
    PROGRESS = "progress"
    FOUND = "found"
    VERIFY = "verify"
    INSTALL = "install"
    FAIL = "fail"
    CANCEL = "cancel"
    INTERRUPT = "interrupt"
    STOP = "stop"


ACTIVE: Final = frozenset({JobState.DOWNLOADING, JobState.INSTALLING})
"""States in which a daemon works on the job; a reserved slot belongs to it."""
TERMINAL: Final = frozenset({JobState.FINISHED, JobState.FAILED, JobState.CANCELLED})
"""States without a further transition; the job's record can be removed."""


class _Subject:
    """Represents a job during one evaluation of the table."""

    def __init__(self, state: JobState, *, may_retry: bool) -> None:
        self.state = state
        self._may_retry = may_retry

    def may_retry(self) -> bool:
        """Guard: another attempt may help, and the budget allows one."""
        return self._may_retry


_RETRY = _Subject.may_retry.__name__
_ACTIVE = sorted(ACTIVE)
TRANSITIONS: Final[list[dict[str, object]]] = [
    {"trigger": Trigger.START, "source": JobState.QUEUED, "dest": JobState.DOWNLOADING},
    {"trigger": Trigger.PROGRESS, "source": JobState.DOWNLOADING, "dest": JobState.DOWNLOADING},
    {"trigger": Trigger.FOUND, "source": JobState.DOWNLOADING, "dest": JobState.FINISHED},
    {"trigger": Trigger.VERIFY, "source": JobState.DOWNLOADING, "dest": JobState.INSTALLING},
    {"trigger": Trigger.INSTALL, "source": JobState.INSTALLING, "dest": JobState.FINISHED},
    {
        "trigger": Trigger.FAIL,
        "source": JobState.DOWNLOADING,
        "dest": JobState.DOWNLOADING,
        "conditions": _RETRY,
    },
    {"trigger": Trigger.FAIL, "source": _ACTIVE, "dest": JobState.FAILED},
    {"trigger": Trigger.CANCEL, "source": JobState.QUEUED, "dest": JobState.CANCELLED},
    {"trigger": Trigger.CANCEL, "source": JobState.DOWNLOADING, "dest": JobState.CANCELLED},
    {
        "trigger": Trigger.INTERRUPT,
        "source": _ACTIVE,
        "dest": JobState.QUEUED,
        "conditions": _RETRY,
    },
    {"trigger": Trigger.INTERRUPT, "source": _ACTIVE, "dest": JobState.FAILED},
    {"trigger": Trigger.STOP, "source": _ACTIVE, "dest": JobState.QUEUED},
]


class IllegalTransitionError(RuntimeError):
    """The table has no such transition: a bug in spsd, never caused by a client."""


_MACHINE: Final = Machine(
    model=None,
    initial=None,
    states=list(JobState),
    transitions=TRANSITIONS,
    auto_transitions=False,
)


def advance(state: JobState, trigger: Trigger, *, may_retry: bool = False) -> JobState:
    """The state to which ``trigger`` leads from ``state``; ``may_retry`` is the value of the guard.

    Raises:
        IllegalTransitionError: the table has no such transition.
    """
    subject = _Subject(state, may_retry=may_retry)
    try:
        _MACHINE.events[trigger].trigger(subject)
    except (MachineError, KeyError) as error:
        raise IllegalTransitionError(f"{trigger} is no transition from {state}") from error
    return JobState(subject.state)


def diagram() -> str:
    """The table as a Mermaid state diagram, for the README."""
    lines = ["stateDiagram-v2", f"    [*] --> {JobState.QUEUED}: {Trigger.SUBMIT}"]
    for line in TRANSITIONS:
        source = line["source"]
        for state in source if isinstance(source, list) else [source]:
            guard = " [may retry]" if "conditions" in line else ""
            lines.append(f"    {state} --> {line['dest']}: {line['trigger']}{guard}")
    lines += [f"    {state} --> [*]" for state in JobState if state in TERMINAL]
    return "\n".join(lines)
