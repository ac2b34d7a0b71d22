"""Is the image here already?"""

from spsd.digest import Sha256
from spsd.domain.slot import InstalledImage
from spsd.services.ports import SlotStore


async def held_image(slots: SlotStore, sha256: Sha256) -> tuple[int, InstalledImage] | None:
    """The lowest slot with exactly that image, hashed again and found intact; None: no slot.

    Raises:
        ApplianceError: a slot that should have it cannot be read.
    """
    for number, image in sorted((await slots.slots()).items()):
        if (
            isinstance(image, InstalledImage)
            and image.sha256 == sha256
            and await slots.intact(number)
        ):
            return number, image
    return None
