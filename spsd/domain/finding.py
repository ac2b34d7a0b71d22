"""What `spsd doctor` says: one finding a check, each with its evidence and what to do."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Grade(StrEnum):
    """WARNING: it works, but not for ever or not as meant; WRONG: something will not work."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """``check`` is a stable name; ``advice`` is empty where nothing is to be done."""

    check: str
    grade: Grade
    said: str
    advice: str = ""

    def line(self) -> str:
        """One line for a person."""
        told = f"{self.grade:<8}{self.check}: {self.said}"
        return f"{told}. {self.advice}" if self.advice else told


def ok(check: str, said: str) -> Finding:
    """Nothing to do."""
    return Finding(check, Grade.OK, said)


def warning(check: str, said: str, advice: str) -> Finding:
    """Worth a look."""
    return Finding(check, Grade.WARNING, said, advice)


def wrong(check: str, said: str, advice: str) -> Finding:
    """To be mended."""
    return Finding(check, Grade.WRONG, said, advice)


def all_well(findings: Iterable[Finding]) -> bool:
    """Nothing is wrong; warnings may be there."""
    return all(finding.grade is not Grade.WRONG for finding in findings)
