"""Which jobs of a list are asked for. An extension of spsd's own: the plain list has them all."""

from collections.abc import Collection
from dataclasses import dataclass

from spsd.domain.job import JobKey
from spsd.domain.lifecycle import JobState


@dataclass(frozen=True, slots=True)
class Selection:
    """Jobs in some states (None: in any), created ``after`` another one, at most ``limit``."""

    states: Collection[JobState] | None = None
    after: JobKey | None = None
    limit: int | None = None


EVERY_JOB = Selection()
