"""How a program of the operator's ended: values apart from the running, for pure rules to judge."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProgramEnded:
    """It ran: its exit status (negative: the signal that ended it), and both its outputs as one.

    ``timed_out``: it was killed at its time limit. ``left_out``: bytes of output not kept.
    """

    status: int
    output: str
    timed_out: bool = False
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class ProgramNotStarted:
    """It could not be run at all."""

    reason: str


ProgramOutcome = ProgramEnded | ProgramNotStarted
