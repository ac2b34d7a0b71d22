"""What may be left unsaid of a download's progress."""

from collections.abc import Sequence

from spsd.domain.job import Progress


def joined(waiting: Sequence[Progress], progress: Progress) -> Sequence[Progress]:
    """What waits to be told, with ``progress`` after it; of each rise only its two ends.

    Where a connection began, and that one started over, is not left out: whose bytes a partial has
    is counted by that.
    """
    if len(waiting) > 1 and waiting[-2].done <= waiting[-1].done <= progress.done:
        return (*waiting[:-1], progress)
    return (*waiting, progress)
