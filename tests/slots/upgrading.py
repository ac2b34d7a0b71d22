"""An appliance for upgrades: two real images in two of three slots, and real hooks."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from spsd.slots.boot_link import open_boot_choice
from spsd.slots.directory import SlotDirectory
from spsd.slots.hooks import HookRunner
from spsd.slots.iso9660.inspector import SlotVolume
from spsd.slots.model import ImageInfo, InstalledImage
from spsd.slots.reservations import Reservations
from spsd.slots.service import Slots
from spsd.slots.upgrade import Upgrade
from spsd.storage.files import SPARE_BYTES
from spsd.transfer.staging.directory import StagingDirectory
from testbed.iso import build_iso

VERSIONS = {1: "1.0.0", 2: "2.0.0"}


@dataclass
class RebootCounter:
    """Counts the requests for a reboot, instead of a reboot."""

    times: int = 0

    def request(self) -> None:
        self.times += 1


@dataclass
class Rig:
    """One appliance: ``root`` is permanent, each start makes everything else again."""

    root: Path
    limit_s: float = 20
    spare_bytes: int = SPARE_BYTES
    accept_any: bool = False
    test_hooks: list[str] = field(default_factory=list)
    activate_hook: str = ""
    reboot: RebootCounter = field(default_factory=RebootCounter)

    @property
    def slots_root(self) -> Path:
        return self.root / "slots"

    async def start(self, boot_id: str = "boot-1", named: int | None = None) -> Upgrade:
        """What the daemon makes at its start, without the resume."""
        store = SlotDirectory(self.slots_root, self.root / "staging", count=3)
        choice = await open_boot_choice(self.slots_root, boot_id=boot_id, named=named)
        return Upgrade(
            slots=Slots(store, Reservations(store), choice),
            store=store,
            inspector=SlotVolume(self.slots_root, accept_any=self.accept_any),
            room=StagingDirectory(self.root, boot=boot_id),
            hooks=HookRunner(self.slots_root, limit_s=self.limit_s),
            reboot=self.reboot,
            test_hooks=self.test_hooks,
            activate_hook=self.activate_hook,
            spare_bytes=self.spare_bytes,
        )

    def hook(self, name: str, script: str) -> str:
        path = self.root / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return str(path)

    def fill(self, slot: int, content: bytes, version: str) -> InstalledImage:
        image = InstalledImage(
            hashlib.sha256(content).hexdigest(), len(content), ImageInfo(version), "job", 7
        )
        directory = self.slots_root / str(slot)
        directory.mkdir()
        (directory / "image").write_bytes(content)
        (directory / "manifest.json").write_bytes(msgspec.json.encode(image))
        return image

    def next(self) -> str | None:
        path = self.slots_root / "next"
        return str(path.readlink()) if path.is_symlink() else None

    def pending(self) -> object:
        return msgspec.json.decode((self.slots_root / "boot.json").read_bytes())["pending"]

    def next_is_whole(self) -> bool:
        """Whether ``next`` is absent, or names a slot with a manifest and an image."""
        target = self.slots_root / "next"
        if not target.is_symlink():
            return True
        whole = all((target / name).is_file() for name in ("manifest.json", "image"))
        return whole and str(target.readlink()) in {"1", "2", "3"}


def make_rig(root: Path) -> Rig:
    root.mkdir(exist_ok=True)
    for name in ("slots", "staging"):
        (root / name).mkdir()
    rig = Rig(root)
    for slot, version in VERSIONS.items():
        iso = build_iso(root / "iso", version=version, payload=b"x" * 5000)
        rig.fill(slot, iso.read_bytes(), version)
    return rig
