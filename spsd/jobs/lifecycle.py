"""The life of a job, as one constant table.

Every legal move is a line of ``TRANSITIONS``; what is absent is illegal, raises, and changes
nothing. Five states are documented; "in progress" has two phases here, since only the first can
be cancelled and a row may be found in either after a crash. A state exists only if such a row can.

- START claims a job. Attempts are charged here, before anything can crash.
- FAIL keeps a job in DOWNLOADING while the trouble may pass and the budget lasts: the job waits
  for its next attempt with its slot reserved and its bytes kept.
- PROGRESS says that new bytes have come, more than a drip: the budget is whole again. It is a
  move of its own so that an attempt that ends without a word, by a crash, is judged fairly too.
- INTERRUPT is what recovery fires at a job that the last daemon left behind. It is guarded like
  FAIL, so that an image that crashes the daemon is not tried for ever.
- STOP is a polite stop; it gives the charged attempt back.

The library keeps the table and evaluates guards. Its machine is shared, holds no state, and is
asked with a throw-away subject; there are no callbacks. (Its asyncio flavour swallows
cancellation, upstream issues 704 and 713.)
"""

from enum import StrEnum
from typing import Final

from transitions import Machine, MachineError


class JobState(StrEnum):
    """Where a job stands; the values are what the database holds."""

    QUEUED = "queued"
    DOWNLOADING = "downloading"
    INSTALLING = "installing"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Trigger(StrEnum):
    """What may move a job; the value is stored as the cause of the row's state."""

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
"""A daemon works on the job; it has a slot reserved."""
TERMINAL: Final = frozenset({JobState.FINISHED, JobState.FAILED, JobState.CANCELLED})
"""Nothing will move the job any more; its record can be removed."""


class _Subject:
    """Stands in for a job while the machine is asked; forgotten afterwards."""

    def __init__(self, state: JobState, *, may_retry: bool) -> None:
        self.state = state
        self._may_retry = may_retry

    def may_retry(self) -> bool:
        """Guard: trying again may help, and the budget of attempts allows it."""
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
    """The table has no such line: a bug of ours, never a client's fault."""


_MACHINE: Final = Machine(
    model=None,
    initial=None,
    states=list(JobState),
    transitions=TRANSITIONS,
    auto_transitions=False,
)


def advance(state: JobState, trigger: Trigger, *, may_retry: bool = False) -> JobState:
    """The state that ``trigger`` leads to from ``state``; ``may_retry`` is what guards ask.

    Raises:
        IllegalTransitionError: the table has no line for it.
    """
    subject = _Subject(state, may_retry=may_retry)
    try:
        _MACHINE.events[trigger].trigger(subject)
    except (MachineError, KeyError) as error:
        raise IllegalTransitionError(f"{trigger} is no move from {state}") from error
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
