"""What the use cases need from outside: one protocol for each foreign thing.

Adapters raise :class:`~spsd.failures.JobError` for what goes wrong out there, and nothing
foreign.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from spsd.digest import Sha256
from spsd.domain.boot import Activation
from spsd.domain.image import ImageInfo
from spsd.domain.job import Job, JobKey, Step
from spsd.domain.selection import EVERY_JOB, Selection
from spsd.domain.slot import InstalledImage, SlotContent
from spsd.system.program_outcome import ProgramOutcome
from spsd.transfer.ports import StagingKey


class JobRepository(Protocol):
    """The rows. Each method is one statement: it happened whole, or not at all."""

    async def add(self, job: Job) -> None:
        """Durable when it returns."""

    async def get(self, key: JobKey) -> Job | None:
        """The row as it is now."""

    async def list(self, selection: Selection = EVERY_JOB) -> Sequence[Job]:
        """The rows that are asked for, in order of creation.

        After a job that is not there, there is nothing.
        """

    async def history(self, key: JobKey) -> Sequence[Step]:
        """The job's moves, oldest first; none if there is no such job."""

    async def active(self) -> Sequence[Job]:
        """The rows that a daemon works on."""

    async def next_queued(self, *, without: Collection[Sha256]) -> Job | None:
        """The oldest queued row whose digest is not in ``without``."""

    async def move(self, seen: Job, to: Job) -> Job | None:
        """Make the row ``to`` if it still is what ``seen`` says; None: somebody moved first."""

    async def remove(self, job: Job) -> bool:
        """Delete the row if it still is what ``job`` says, with its history."""

    async def wanted(self) -> Collection[Sha256]:
        """The digests whose partial files some row may still go on with."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A row, and the last line that the history has of it."""

    job: Job
    move: int


class Moves(Protocol):
    """The history of all jobs, whose lines are numbered as they were committed."""

    async def last_move(self) -> int:
        """The newest line's number; 0: there is none."""

    async def moved_since(self, move: int, *, also: Collection[JobKey] = ()) -> Sequence[Moved]:
        """The jobs with lines after that one, and those of ``also``, the last to move last."""


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

    async def tidy(self) -> None:
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
