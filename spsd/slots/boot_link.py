"""Which slot runs and which is to run next, on disk beside the slots.

``next`` is a relative symbolic link to a slot's directory: what boot loaders and hooks read. It is
replaced by one rename. ``boot.json`` tells which slot ran in which boot, and of a choice whose
activation is not known to be complete.
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
    """The choice as a link under ``root``, the slots' directory."""

    def __init__(self, root: Path, record: BootRecord) -> None:
        self._root = root
        self._record = record

    @property
    def current(self) -> int | None:
        """The slot that runs now; None: nobody knows."""
        return self._record.slot

    @property
    def pending(self) -> Activation | None:
        """The choice whose activation is not known to be complete."""
        return self._record.pending

    async def chosen(self) -> int | None:
        """The slot that the choice names; a link that leads nowhere is no choice."""
        return await asyncio.to_thread(_chosen, self._root)

    async def choose(self, slot: int | None) -> None:
        """Make the slot the choice, durably and at once; None: there is no choice any more.

        Raises:
            ApplianceError: the disk refuses.
        """
        await asyncio.to_thread(self._choose, slot)

    def _choose(self, slot: int | None) -> None:
        with as_appliance_errors("choosing the slot for the next boot"):
            if slot is None:
                (self._root / NEXT).unlink(missing_ok=True)
            else:
                scratch = self._root / _SCRATCH
                scratch.unlink(missing_ok=True)
                scratch.symlink_to(str(slot))
                scratch.replace(self._root / NEXT)
            sync_directory(self._root)

    async def begin(self, activation: Activation) -> None:
        """Note, durably, that an activation is under way.

        Raises:
            ApplianceError: the disk refuses; nothing is noted.
        """
        await self._write(replace(self._record, pending=activation))

    async def settle(self) -> None:
        """Note, durably, that no activation is under way.

        Raises:
            ApplianceError: the disk refuses.
        """
        await self._write(replace(self._record, pending=None))

    async def _write(self, record: BootRecord) -> None:
        await asyncio.to_thread(_write, self._root, record)
        self._record = record


async def open_boot_choice(root: Path, *, boot_id: str, named: int | None) -> BootLink:
    """Find out which slot runs in this boot, and write it down.

    ``named`` is what the kernel's command line says. A disk that refuses the note is logged, and
    no reason not to start: a choice writes it again before anything may depend on it.
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
            _log.warning("which slot runs could not be written down: %s", error.what)
    return BootLink(root, record)


def _read(root: Path) -> BootRecord | None:
    try:
        return msgspec.json.decode((root / RECORD).read_bytes(), type=BootRecord)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        _log.warning("%s cannot be read, so which slot ran is unknown: %s", RECORD, error)
        return None


def choice_problems(root: Path) -> Iterator[str]:
    """What is wrong with the link and the record, for who looks from outside; nothing: all well."""
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
    with as_appliance_errors("noting which slot runs"):
        write_durably(root / RECORD, msgspec.json.encode(record))


def _chosen(root: Path) -> int | None:
    try:
        target = os.readlink(root / NEXT)  # noqa: PTH115 - Path would tidy "./2" up
    except OSError:
        return None
    if _SLOT.fullmatch(target) is None or not (root / target).is_dir():
        return None
    return int(target)
