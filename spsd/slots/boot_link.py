"""Which slot runs and which one is chosen for the next boot, on disk beside the slots.

``next`` is a relative symbolic link to a slot's directory; boot loaders and hooks read it. It is
replaced by one rename. ``boot.json`` holds the slot that ran in the last recorded boot, and a
choice whose activation is not known to be complete.
"""

import asyncio
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec

from spsd.failures import ApplianceError
from spsd.slots.boot import Activation, BootRecord, running_slot
from spsd.storage.files import as_appliance_errors, sync_directory, write_durably

_log = logging.getLogger(__name__)
NEXT = "next"
RECORD = "boot.json"
_SCRATCH = ".next.new"
_SLOT = re.compile(r"[1-9]\d?", re.ASCII)


class BootLink:
    """:class:`~spsd.slots.ports.BootChoice` as a link under ``root``, the slots' directory."""

    def __init__(self, root: Path, record: BootRecord) -> None:
        self._root = root
        self._record = record

    @property
    def current(self) -> int | None:
        """The slot that runs now; None: unknown."""
        return self._record.slot

    @property
    def pending(self) -> Activation | None:
        """The choice whose activation is not known to be complete."""
        return self._record.pending

    async def chosen(self) -> int | None:
        """The chosen slot; None: there is no link, or it does not name the directory of a slot."""
        return await asyncio.to_thread(_chosen, self._root)

    async def choose(self, slot: int | None) -> None:
        """Choose the slot durably and atomically; None: remove the choice.

        Raises:
            ApplianceError: a write failed. The old or the new choice stands.
        """
        await asyncio.to_thread(self._choose, slot)

    def _choose(self, slot: int | None) -> None:
        with as_appliance_errors("choosing the slot for the next boot"):
            if slot is None:
                (self._root / NEXT).unlink(missing_ok=True)
            else:
                # Step 1: remove the link that a crash between steps 2 and 3 may have left: step 2
                # would fail on it.
                scratch = self._root / _SCRATCH
                scratch.unlink(missing_ok=True)
                # Step 2: make the new link under another name, because a link cannot be changed
                # in place.
                scratch.symlink_to(str(slot))
                # Step 3: rename it over the old one. A boot loader sees the old or the new
                # choice, never none.
                scratch.replace(self._root / NEXT)
            # Step 4: sync the directory. Only then does the choice survive a power cut, and only
            # then may the activation hook run.
            sync_directory(self._root)

    async def record_pending(self, activation: Activation) -> None:
        """Record durably that an activation is in progress.

        Raises:
            ApplianceError: a write failed; the record in memory is unchanged.
        """
        await self._write(replace(self._record, pending=activation))

    async def clear_pending(self) -> None:
        """Record durably that no activation is in progress.

        Raises:
            ApplianceError: a write failed; the activation stays pending.
        """
        await self._write(replace(self._record, pending=None))

    async def _write(self, record: BootRecord) -> None:
        # The disk first: memory never claims what a restart would not find.
        await asyncio.to_thread(_write, self._root, record)
        self._record = record


async def open_boot_choice(root: Path, *, boot_id: str, named: int | None) -> BootLink:
    """Find out which slot runs in this boot, and record it.

    ``named`` is the slot on the kernel's command line. A failed write is logged, and the daemon
    starts nevertheless: before a choice is made the record is written again, and must succeed.
    """
    return await asyncio.to_thread(_open, root, boot_id, named)


def _open(root: Path, boot_id: str, named: int | None) -> BootLink:
    recorded = _read(root)
    slot = running_slot(boot_id, named=named, recorded=recorded, chosen=_chosen(root))
    record = BootRecord(boot_id, slot, recorded.pending if recorded is not None else None)
    if record != recorded:
        try:
            _write(root, record)
        except ApplianceError as error:
            _log.warning("the running slot could not be recorded: %s", error.what)
    return BootLink(root, record)


def _read(root: Path) -> BootRecord | None:
    try:
        return msgspec.json.decode((root / RECORD).read_bytes(), type=BootRecord)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        _log.warning("%s cannot be read, so the slot that ran is unknown: %s", RECORD, error)
        return None


def choice_problems(root: Path) -> Iterator[str]:
    """Problems of the link and the record, as sentences; for a check without the daemon."""
    link = root / NEXT
    if (link.is_symlink() or link.exists()) and _chosen(root) is None:
        what = f"leads to {os.readlink(link)!r}" if link.is_symlink() else "is no link"  # noqa: PTH115
        yield f"{link} {what}, and not to a slot that holds an image"
    try:
        msgspec.json.decode((root / RECORD).read_bytes(), type=BootRecord)
    except FileNotFoundError:
        return
    except (OSError, msgspec.DecodeError) as error:
        yield f"{root / RECORD} cannot be read: {error}"


def _write(root: Path, record: BootRecord) -> None:
    with as_appliance_errors("recording which slot runs"):
        write_durably(root / RECORD, msgspec.json.encode(record))


def _chosen(root: Path) -> int | None:
    try:
        target = os.readlink(root / NEXT)  # noqa: PTH115 - Path would tidy "./2" up
    except OSError:
        return None
    if _SLOT.fullmatch(target) is None or not (root / target).is_dir():
        return None
    return int(target)
