"""What may be left of a recorded run, cut by cut, with what the client knew and what is owed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from scripts.programs.powercut.daemon import BLOCK, SYNC_WINDOW
from scripts.programs.powercut.disk import Disk, Tree
from scripts.programs.powercut.effects import Effect, Mark, told
from scripts.programs.powercut.promises import Marks, expected

Key = tuple[int, int]
"""What is left, and how much the client had been told."""


@dataclass(frozen=True, slots=True)
class Remainder:
    """What a cut has left."""

    cut: int
    after: str
    luck: str
    tree: Tree
    marks: Marks
    most: int
    """Bytes that may be fetched again."""


@dataclass
class Remainders:
    """Every different thing that may be left of a run."""

    sizes: Mapping[str, tuple[int, int]]
    """Bytes of the object behind each digest: as it is, and if the digest is wrong."""
    possible: int = 0
    different: dict[Key, Remainder] = field(default_factory=dict)

    def add(self, key: Key, one: Remainder) -> None:
        """Of equal ones the one counts that owes the most.

        A daemon that syncs nothing leaves the same after each cut: were the first of them tried
        alone, when hardly a byte had come, it could fetch all of them again unnoticed.
        """
        self.possible += 1
        before = self.different.get(key)
        if before is None or one.most < before.most:
            self.different[key] = one


def remainders(
    effects: Sequence[Effect],
    known: Iterable[str],
    sizes: Mapping[str, tuple[int, int]],
    only: int | None = None,
) -> Remainders:
    """What may be left after each effect from the first mark on, or after ``only`` that one."""
    found = Remainders(sizes)
    disk, marks = Disk(), [words.split() for words in known]
    arrived: dict[str, int] = {}
    begun = False
    for number, effect in enumerate(effects):
        disk.take(effect)
        if isinstance(effect, Mark):
            marks.append(effect.told.split())
            begun = True
        if not begun:
            continue
        whole = dict(disk.remainders(number))
        most = most_to_fetch(whole["everything"], marks, sizes, arrived)
        if only not in (None, number):
            continue
        for luck, tree in whole.items():
            one = Remainder(number, told(effect), luck, tree, tuple(marks), most)
            found.add((tree.key(), len(marks)), one)
    return found


def most_to_fetch(
    written: Tree, marks: Marks, sizes: Mapping[str, tuple[int, int]], arrived: dict[str, int]
) -> int:
    """How many bytes promise d allows to be fetched again, given what was written at the cut.

    ``arrived`` remembers which file has the bytes of a digest, from cut to cut: they are as much
    here when the file has gone from staging into a slot.
    """
    it = expected(marks)
    paths = dict(written.walk())
    for digest in sizes:
        if (node := paths.get(f"/state/staging/{digest}/image")) is not None:
            arrived[digest] = node
    here = set(paths.values())
    return sum(
        size - max(0, length - SYNC_WINDOW - BLOCK)
        for size, length in _on_the_way(it.unfinished(), written, here, sizes, arrived)
    )


def _on_the_way(
    jobs: Iterable[tuple[str, str]],
    written: Tree,
    here: set[int],
    sizes: Mapping[str, tuple[int, int]],
    arrived: Mapping[str, int],
) -> Iterator[tuple[int, int]]:
    for digest, kind in jobs:
        good, bad = sizes[digest]
        node = arrived.get(digest)
        yield good if kind == "good" else bad, len(written.files[node]) if node in here else 0
