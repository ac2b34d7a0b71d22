"""What a fact is: a row with a check."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from spsd.testing.conformance.target import Target


class Mark(StrEnum):
    """How well a fact is known."""

    DOCUMENTED = "documented"
    SAMPLE = "seen in a sample"
    CLIENT = "relied on by a client"
    INFERRED = "inferred"
    OURS = "our choice"

    @property
    def binds(self) -> bool:
        """Whether a server that does otherwise breaks the API."""
        return self in (Mark.DOCUMENTED, Mark.SAMPLE)


class Section(StrEnum):
    """Where a fact belongs; in the order in which they are tried."""

    TRANSPORT = "Transport"
    AUTHENTICATION = "Authentication"
    MESSAGES = "Messages and links"
    INFO = "Info, user and health"
    ERRORS = "Errors"
    FETCH = "Fetch"
    JOBS = "Course of a download"
    SLOTS = "Slots"
    UPLOAD = "Upload"
    TEST = "Test"
    UPGRADE = "Upgrade"


class Need(StrEnum):
    """What it takes to try a fact, from the mildest to the harshest."""

    NOTHING = "nothing"
    SESSION = "a log-in"
    REQUESTS = "requests that the server refuses"
    LIMITED = "a second user, who may not write"
    ORIGIN = "downloads that leave nothing behind"
    WRITES = "filling and emptying a slot"
    DESTRUCTIVE = "an upgrade"


Check = Callable[[Target], None]
"""Returns if the fact holds.

Raises Broken with what was found instead, or NotTried with what stood in the way.
"""


@dataclass(frozen=True, slots=True)
class Fact:
    """One sentence about the API that can be tried."""

    id: str
    sentence: str
    mark: Mark
    section: Section
    need: Need
    check: Check
    since: str | None = None
    """The oldest version whose guide is known to say so, where not all do."""

    def newer_than(self, version: tuple[int, ...]) -> bool:
        """Whether a server of that version need not know of it."""
        return self.since is not None and versioned(self.since) > version


def versioned(text: str) -> tuple[int, ...]:
    """A version such as ``7.0.4``, to be compared.

    Raises:
        ValueError: it is none.
    """
    return tuple(int(part) for part in text.split("."))


class Facts:
    """The rows of a section, beside the functions that try them."""

    def __init__(self, section: Section, prefix: str, *, since: str | None = None) -> None:
        self._section, self._prefix, self._since = section, prefix, since
        self.rows: list[Fact] = []

    def fact(
        self, name: str, mark: Mark, need: Need, sentence: str, *, since: str | None = None
    ) -> Callable[[Check], Check]:
        """Make a row of the function below."""

        def note(check: Check) -> Check:
            known = since or self._since
            self.rows.append(
                Fact(f"{self._prefix}.{name}", sentence, mark, self._section, need, check, known)
            )
            return check

        return note
