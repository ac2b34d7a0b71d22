"""What is tried of each promise: the rows of docs/proven.md, in its order."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Proof:
    """One row: the promises by their letters, what is done to them, and the command that does it.

    ``prints`` is a part of the line in which the command tells its count.
    """

    promise: str
    tells: str
    command: str
    prints: str


PROOFS = (
    Proof(
        "c",
        "An upgrade is cut before and after each step on the disk, and each is refused once",
        "scripts/test tests/services/test_upgrade_crash.py",
        "in the steps of an upgrade",
    ),
    Proof(
        "b, f",
        "Origins do one random act after the other; the right image or one clear error comes of it",
        "scripts/test tests/services/test_sequences.py",
        "random sequences",
    ),
)
