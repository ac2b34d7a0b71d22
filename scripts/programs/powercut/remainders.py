"""The remainders of a recorded run: what a disk may hold after each cut, with its marks."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from scripts.programs.powercut.daemon import BLOCK, SYNC_WINDOW
from scripts.programs.powercut.disk import Disk, Tree
from scripts.programs.powercut.effects import Effect, Mark, description
from scripts.programs.powercut.promises import Marks, expected

Key = tuple[int, int]
"""The hash of the tree, and the number of marks."""


@dataclass(frozen=True, slots=True)
class Remainder:
    """What a disk may hold after the effect number ``cut``, described by ``after``."""

    cut: int
    after: str
    variant: str
    tree: Tree
    marks: Marks
    most: int
    """Bytes that may be fetched again."""


@dataclass
class Remainders:
    """The different remainders of a run."""

    sizes: Mapping[str, tuple[int, int]]
    """For each digest the size of its object, and of the one that is served if it is wrong."""
    possible: int = 0
    different: dict[Key, Remainder] = field(default_factory=dict)

    def add(self, key: Key, remainder: Remainder) -> None:
        """Add a remainder; of equal ones the strictest stays, with the smallest ``most``.

        A daemon that syncs nothing leaves the same after each cut. If only the first of these cuts
        were tried, after which nearly all bytes may be fetched, the defect would not be detected.
        """
        self.possible += 1
        before = self.different.get(key)
        if before is None or remainder.most < before.most:
            self.different[key] = remainder


def remainders(
    effects: Sequence[Effect],
    known: Iterable[str],
    sizes: Mapping[str, tuple[int, int]],
    only: int | None = None,
) -> Remainders:
    """The remainders after each effect from the first mark on, or of the cut ``only``.

    ``known`` has the texts of marks from before the record.
    """
    collected = Remainders(sizes)
    disk, marks = Disk(), [words.split() for words in known]
    arrived: dict[str, int] = {}
    begun = False
    for number, effect in enumerate(effects):
        disk.take(effect)
        if isinstance(effect, Mark):
            marks.append(effect.text.split())
            begun = True
        if not begun:
            continue
        trees = dict(disk.remainders(number))
        most = most_to_fetch(trees["everything"], marks, sizes, arrived)
        if only not in (None, number):
            continue
        for variant, tree in trees.items():
            after = description(effect)
            remainder = Remainder(number, after, variant, tree, tuple(marks), most)
            collected.add((tree.key(), len(marks)), remainder)
    return collected


def most_to_fetch(
    written: Tree, marks: Marks, sizes: Mapping[str, tuple[int, int]], arrived: dict[str, int]
) -> int:
    """The number of bytes that promise d allows to be fetched again after the cut.

    ``written`` is the disk with all effects. ``arrived`` stores from cut to cut which file has the
    bytes of a digest: they still count when the file has moved from staging to a slot.
    """
    it = expected(marks)
    paths = dict(written.walk())
    for digest in sizes:
        if (node := paths.get(f"/state/staging/{digest}/image")) is not None:
            arrived[digest] = node
    existing = set(paths.values())
    return sum(
        size - max(0, length - SYNC_WINDOW - BLOCK)
        for size, length in _progress(it.unfinished(), written, existing, sizes, arrived)
    )


def _progress(
    jobs: Iterable[tuple[str, str]],
    written: Tree,
    existing: set[int],
    sizes: Mapping[str, tuple[int, int]],
    arrived: Mapping[str, int],
) -> Iterator[tuple[int, int]]:
    """For each job the size of its object, and the length of its file."""
    for digest, kind in jobs:
        good, bad = sizes[digest]
        node = arrived.get(digest)
        yield good if kind == "good" else bad, len(written.files[node]) if node in existing else 0
