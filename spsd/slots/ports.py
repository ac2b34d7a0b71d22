"""TODO."""

from collections.abc import Mapping
from typing import Protocol

from spsd.slots.boot import Activation
from spsd.slots.model import ImageInfo, InstalledImage, SlotContent
from spsd.system.program_outcome import ProgramOutcome
from spsd.transfer.ports import StagingKey


class SlotStore(Protocol):
    """The slots. The installed image is the truth about itself."""

    async def slots(self) -> Mapping[int, SlotContent]:
        """Every slot with what it holds; None: empty."""

    async def intact(self, slot: int) -> bool:
        """Hash the slot's image again: is it what its manifest says?"""

    async def install(self, slot: int, image: InstalledImage, staged: StagingKey) -> None:
        """Move the sealed partial into the empty slot, durably and at once.

        Raises:
            ApplianceError: the slot is not empty, or the disk refuses.
        """

    async def empty(self, slot: int) -> None:
        """Take the image out of the slot, at once; its bytes are freed afterwards."""

    async def remove_leftovers(self) -> None:
        """Free the bytes of images that were taken out when the power went."""


class ImageInspector(Protocol):
    """Reads what an image says of itself."""

    async def inspect(self, key: StagingKey) -> ImageInfo:
        """Look into the sealed partial.

        Raises:
            ImageError: it is no image that the slots accept.
        """


class BootChoice(Protocol):
    """Which slot runs, and which is to run next. Each method is one durable step."""

    @property
    def current(self) -> int | None:
        """The slot that runs now; None: nobody knows."""

    @property
    def pending(self) -> Activation | None:
        """The choice whose activation is not known to be complete."""

    async def chosen(self) -> int | None:
        """The slot that the choice names; None: there is no choice."""

    async def choose(self, slot: int | None) -> None:
        """Make the slot the choice, at once; None: there is no choice any more.

        Raises:
            ApplianceError: the disk refuses.
        """

    async def begin(self, activation: Activation) -> None:
        """Note that an activation is under way.

        Raises:
            ApplianceError: the disk refuses; nothing is noted.
        """

    async def settle(self) -> None:
        """Note that no activation is under way.

        Raises:
            ApplianceError: the disk refuses.
        """


class SlotInspector(Protocol):
    """Reads what an installed image says of itself."""

    async def inspect(self, slot: int) -> ImageInfo:
        """Read the slot's image again.

        Raises:
            ImageError: it is no image that the slots accept.
            ApplianceError: it cannot be read.
        """


class Hooks(Protocol):
    """The operator's executables."""

    async def run(self, hook: str, slot: int, image: InstalledImage) -> ProgramOutcome:
        """Run one to its end; nothing of it is left when this returns or is cancelled."""


class Reboot(Protocol):
    """The restart of the appliance."""

    def request(self) -> None:
        """Ask for it, a moment from now; returns at once."""
