"""One attempt at an image: ask, judge, append.

What to do is decided in :mod:`spsd.domain.resume`; here it is done.
"""

import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import assert_never

from spsd.domain.failure import ApplianceError, FailureCode, OriginError
from spsd.domain.job import Progress
from spsd.domain.resume import (
    Append,
    AskAgain,
    Complete,
    Reject,
    StartOver,
    judge,
    plan,
)
from spsd.services.ports import Answer, Now, Origin, Partial, Staging

_log = logging.getLogger(__name__)

SPARE_BYTES = 16 * 1024 * 1024
"""Left free on the file system, for the database and the manifests."""

Report = Callable[[Progress], Awaitable[None]]


class Download:
    """Fetches into a partial over one connection at a time."""

    def __init__(self, origin: Origin, staging: Staging, *, now: Now) -> None:
        self._origin = origin
        self._staging = staging
        self._now = now

    async def attempt(self, url: str, partial: Partial, report: Report) -> dict[str, str | int]:
        """Continue the partial until the origin has sent all of it; gives the evidence.

        ``report`` is told after each block how far the download is.

        Raises:
            OriginError: the attempt is over; what has come is kept in the partial.
            ApplianceError: the disk is full or broken.
        """
        ask = plan(partial.kept(url))
        while not isinstance(ask, Complete):
            async with self._origin.open(url, ask) as answer:
                verdict = judge(ask, partial.kept(url), answer.reply, now=self._now())
                match verdict:
                    case Complete():
                        return dict(answer.evidence)
                    case AskAgain(ask=better, why=why):
                        _log.info("asking again: %s", why)
                        ask = better
                    case Reject(error=error):
                        raise error
                    case StartOver(total=total):
                        await partial.clear()
                        await self._receive(url, answer, partial, total, report)
                        return dict(answer.evidence)
                    case Append(total=total):
                        await self._receive(url, answer, partial, total, report)
                        return dict(answer.evidence)
                    case _:
                        assert_never(verdict)
        return {"kept": "every byte was here already"}

    async def _receive(
        self, url: str, answer: Answer, partial: Partial, total: int | None, report: Report
    ) -> None:
        room = await self._room(partial, total)
        await partial.describe(url, answer.reply, total)
        await report(Progress(partial.length, total or 0))
        async with aclosing(answer.blocks()) as blocks:
            async for block in blocks:
                if (error := _overrun(partial.length + len(block), total, room)) is not None:
                    raise error
                await partial.append(block)
                await report(Progress(partial.length, total or 0))
        if total is not None and partial.length < total:
            raise OriginError(
                FailureCode.CUT_OFF,
                "the origin closed the connection before the end",
                {"bytes": partial.length, "of": total},
            )

    async def _room(self, partial: Partial, total: int | None) -> int:
        """How long the partial may become on this disk.

        Raises:
            ApplianceError: the object is known not to fit.
        """
        free = await self._staging.free_bytes() - SPARE_BYTES
        if total is not None and total - partial.length > free:
            raise ApplianceError(
                FailureCode.DISK_FULL,
                "the image does not fit",
                {"needed bytes": total - partial.length, "free bytes": max(0, free)},
            )
        return partial.length + max(0, free)


def _overrun(length: int, total: int | None, room: int) -> OriginError | ApplianceError | None:
    if total is not None and length > total:
        return OriginError(
            FailureCode.TOO_LONG,
            "more bytes came than announced",
            {"announced": total, "got at least": length},
            transient=False,
        )
    if length > room:
        return ApplianceError(
            FailureCode.DISK_FULL, "the image has no end before the disk has", {"bytes": length}
        )
    return None
