"""How a program of the operator ended. A module of its own, because pure rules use these values."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProgramEnded:
    """The program was started and has ended.

    ``status`` is its exit status; a negative value is the number of the signal that ended it.
    ``output`` is the beginning of standard output and error, in order of arrival; ``left_out`` is
    the number of bytes after it. ``timed_out``: it was killed at its time limit.
    """

    status: int
    output: str
    timed_out: bool = False
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class ProgramNotStarted:
    """The program could not be started; ``reason`` is the system's."""

    reason: str


ProgramOutcome = ProgramEnded | ProgramNotStarted
