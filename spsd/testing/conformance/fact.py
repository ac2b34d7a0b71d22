"""A fact about the API: a row with a sentence, a mark, and a check that tries it."""

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
        """Whether a server for which the fact does not hold breaks the API."""
        return self in (Mark.DOCUMENTED, Mark.SAMPLE)


class Section(StrEnum):
    """The part of the API that a fact is about; the sections are tried in this order."""

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
    """What a check needs or does, from the least to the most."""

    NOTHING = "nothing"
    SESSION = "a log-in"
    REQUESTS = "requests that the server refuses"
    LIMITED = "a second user, who may not write"
    ORIGIN = "downloads that leave nothing behind"
    WRITES = "filling and emptying a slot"
    DESTRUCTIVE = "an upgrade"


Check = Callable[[Target], None]
"""Returns if the fact holds.

Raises Broken with the evidence if it does not, or NotTried with the reason if it cannot be tried.
"""


@dataclass(frozen=True, slots=True)
class Fact:
    """One sentence about the API that can be tried at a server."""

    id: str
    sentence: str
    mark: Mark
    section: Section
    need: Need
    check: Check
    since: str | None = None
    """The oldest version whose guide is known to state the fact; None: all versions do."""

    def newer_than(self, version: tuple[int, ...]) -> bool:
        """Whether the fact is only known of versions after this one."""
        return self.since is not None and parse_version(self.since) > version


def parse_version(text: str) -> tuple[int, ...]:
    """The numbers of a version such as ``7.0.4``, for comparisons.

    Raises:
        ValueError: The text is not a version.
    """
    return tuple(int(part) for part in text.split("."))


class Facts:
    """The facts of one module: a decorator that makes a fact of each check function."""

    def __init__(self, section: Section, prefix: str, *, since: str | None = None) -> None:
        self._section, self._prefix, self._since = section, prefix, since
        self.rows: list[Fact] = []

    def fact(
        self, name: str, mark: Mark, need: Need, sentence: str, *, since: str | None = None
    ) -> Callable[[Check], Check]:
        """Return a decorator that adds a fact with the decorated function as its check."""

        def add(check: Check) -> Check:
            known_since = since or self._since
            fact_id = f"{self._prefix}.{name}"
            self.rows.append(Fact(fact_id, sentence, mark, self._section, need, check, known_since))
            return check

        return add
