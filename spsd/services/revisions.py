"""Which state of the downloads a client has seen, and a way to wait for another.

A count stands for each state, and nobody asks the database while it stays.
"""

import asyncio
import secrets
from typing import NewType

from spsd.domain.job import JobKey

Revision = NewType("Revision", str)
"""A state of all downloads, or of one; another daemon's is never equal."""


class Revisions:
    """The counts, changed by whoever changes a download."""

    def __init__(self) -> None:
        self.life = secrets.token_hex(4)
        """What tells this daemon's revisions from another's."""
        self.waiters = 0
        """How many wait at the moment."""
        self._count = 0
        self._floor = 0
        self._counts: dict[JobKey, int] = {}
        self._waiting: dict[JobKey | None, asyncio.Event] = {}
        self._over = False

    def of(self, key: JobKey | None = None) -> Revision:
        """That of all downloads, or of one. Ask before the rows are read: then none is missed."""
        count = self._count if key is None else self._counts.get(key, self._floor)
        return Revision(f"{self.life}-{count}")

    async def wait(self, seen: str, key: JobKey | None = None) -> None:
        """Until the revision is another than ``seen``."""
        self.waiters += 1
        try:
            while self.of(key) == seen and not self._over:
                await self._waiting.setdefault(key, asyncio.Event()).wait()
        finally:
            self.waiters -= 1

    def changed(self, key: JobKey) -> None:
        """The download is another now."""
        self._count += 1
        self._counts[key] = self._count
        for waited in (key, None):
            if (event := self._waiting.pop(waited, None)) is not None:
                event.set()

    def removed(self, key: JobKey) -> None:
        """There is no such download any more."""
        self.changed(key)
        # Of what is gone no count is kept; no download has the revision that it had.
        del self._counts[key]
        self._floor = self._count

    def close(self) -> None:
        """Nobody waits any more."""
        self._over = True
        for event in self._waiting.values():
            event.set()
