"""What the use cases of slots need from adapters, as protocols."""

from collections.abc import Mapping
from typing import Protocol

from spsd.slots.boot import Activation
from spsd.slots.model import ImageInfo, InstalledImage, SlotContent
from spsd.system.program_outcome import ProgramOutcome
from spsd.transfer.ports import StagingKey


class SlotStore(Protocol):
    """The slots on disk. No other record says what a slot holds: its manifest does."""

    async def slots(self) -> Mapping[int, SlotContent]:
        """Every slot with what it holds; None: empty."""

    async def intact(self, slot: int) -> bool:
        """Whether the slot's image has the digest of its manifest; reads the whole image.

        Raises:
            ApplianceError: the image cannot be read.
        """

    async def install(self, slot: int, image: InstalledImage, staged: StagingKey) -> None:
        """Move the sealed partial file into the empty slot, durably and atomically.

        Raises:
            ApplianceError: the slot is not empty, or a write failed. The slot is unchanged.
        """

    async def empty(self, slot: int) -> None:
        """Remove the image from the slot durably and atomically, then free its bytes.

        Raises:
            ApplianceError: the slot is empty, or a write failed.
        """

    async def remove_leftovers(self) -> None:
        """Remove images whose installation or removal was interrupted by a crash or a power cut."""


class ImageInspector(Protocol):
    """Reads version and notes of a staged image."""

    async def inspect(self, key: StagingKey) -> ImageInfo:
        """Read the sealed partial file.

        Raises:
            ImageError: it is no image that the slots accept.
            ApplianceError: it cannot be read.
        """


class BootChoice(Protocol):
    """Which slot runs, and which one is chosen for the next boot. Each change is durable."""

    @property
    def current(self) -> int | None:
        """The slot that runs now; None: unknown."""

    @property
    def pending(self) -> Activation | None:
        """The choice whose activation is not known to be complete."""

    async def chosen(self) -> int | None:
        """The chosen slot; None: there is no choice."""

    async def choose(self, slot: int | None) -> None:
        """Choose the slot durably and atomically; None: remove the choice.

        Raises:
            ApplianceError: a write failed. The old or the new choice stands.
        """

    async def record_pending(self, activation: Activation) -> None:
        """Record durably that an activation is in progress.

        Raises:
            ApplianceError: a write failed; :attr:`pending` is unchanged.
        """

    async def clear_pending(self) -> None:
        """Record durably that no activation is in progress.

        Raises:
            ApplianceError: a write failed; the activation stays pending.
        """


class SlotInspector(Protocol):
    """Reads version and notes of an installed image."""

    async def inspect(self, slot: int) -> ImageInfo:
        """Read the slot's image again.

        Raises:
            ImageError: it is no image that the slots accept.
            ApplianceError: it cannot be read.
        """


class Hooks(Protocol):
    """The operator's executables."""

    async def run(self, hook: str, slot: int, image: InstalledImage) -> ProgramOutcome:
        """Run a hook until it ends; when this returns or is cancelled, no process is left."""


class Reboot(Protocol):
    """The restart of the appliance."""

    def request(self) -> None:
        """Request a reboot after a short delay; returns immediately."""
