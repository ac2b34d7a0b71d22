"""A model of a disk: what it may hold after a power cut at some moment of a recorded run.

The rules are the strictest reading of POSIX that file systems in use come close to:

- A file's bytes and length are safe after a sync of that file. Before it, each write may be on disk
  or not, independently of all others, and the last one may be torn between two sectors.
- A name is safe after a sync of its directory. Before it, the names of a directory may be as they
  were at any moment since the last sync: they change in order, as in a journal.
- A rename is atomic; it is safe after a sync of the directory that has the new name.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts.programs.powercut.effects import (
    ROOT,
    Effect,
    Make,
    Mark,
    Remove,
    Rename,
    Sync,
    Truncate,
    Write,
)

SECTOR = 512
Pending = Write | Truncate | Make | Remove | Rename


@dataclass
class Tree:
    """Directories, files and links by number, as the disk has them."""

    names: dict[int, dict[str, int]] = field(default_factory=lambda: {ROOT: {}})
    files: dict[int, bytes] = field(default_factory=dict)
    links: dict[int, str] = field(default_factory=dict)
    modes: dict[int, int] = field(default_factory=dict)

    def copy(self) -> "Tree":
        return Tree(
            {node: dict(names) for node, names in self.names.items()},
            dict(self.files),
            dict(self.links),
            dict(self.modes),
        )

    def add_node(self, made: Make) -> None:
        """Add an empty file, directory or link without a name: the name is a separate effect."""
        self.modes[made.node] = made.mode
        match made.kind:
            case "file":
                self.files[made.node] = b""
            case "directory":
                self.names[made.node] = {}
            case _:
                self.links[made.node] = made.target

    def apply(self, effect: Pending) -> None:
        """Change the tree by one effect."""
        match effect:
            case Make(at=at, name=name, node=node):
                self.names[at][name] = node
            case Remove(at=at, name=name):
                self.names[at].pop(name, None)
            case Rename(at=at, name=name, to=to, new=new):
                if (node := self.names[at].pop(name, None)) is not None:
                    self.names[to][new] = node
            case Write(node=node, offset=offset, data=data):
                before = self.files[node].ljust(offset, b"\0")
                self.files[node] = before[:offset] + data + before[offset + len(data) :]
            case Truncate(node=node, length=length):
                self.files[node] = self.files[node][:length].ljust(length, b"\0")

    def walk(self, node: int = ROOT, path: str = "") -> Iterator[tuple[str, int]]:
        """Every path with the number of its file, directory or link."""
        for name, below in sorted(self.names[node].items()):
            yield f"{path}/{name}", below
            if below in self.names:
                yield from self.walk(below, f"{path}/{name}")

    def key(self) -> int:
        """A hash of paths and contents: equal for equal trees, within this process."""
        # Python caches the hash of each bytes object, so unchanged files cost no time.
        return hash(tuple((path, self.files.get(n), self.links.get(n)) for path, n in self.walk()))

    def write_to(self, root: Path) -> None:
        """Write the tree into an empty directory."""
        for path, node in self.walk():
            target = root / path.lstrip("/")
            if node in self.names:
                target.mkdir(mode=self.modes[node] or 0o700)
            elif node in self.links:
                target.symlink_to(self.links[node])
            else:
                target.write_bytes(self.files[node])
                target.chmod(self.modes[node] & 0o777 or 0o600)


class Disk:
    """A disk to which effects are applied in order; a cut is possible after each of them."""

    def __init__(self) -> None:
        self.safe = Tree()
        self.pending: list[Pending] = []

    def take(self, effect: Effect) -> None:
        """Apply the next effect."""
        match effect:
            case Mark():
                return
            case Sync(node=node):
                self._sync(node)
                return
            case Make():
                self.safe.add_node(effect)
        self.pending.append(effect)

    def _sync(self, node: int) -> None:
        still_pending: list[Pending] = []
        # Names of a directory change in order, so all earlier changes are safe too. With a rename
        # from another directory, so are the earlier changes of that directory's names.
        last = max((n for n, e in enumerate(self.pending) if home(e) == node), default=-1)
        for number, effect in enumerate(self.pending):
            if number <= last and (
                home(effect) == node or _feeds(effect, self.pending, last, node)
            ):
                self.safe.apply(effect)
            else:
                still_pending.append(effect)
        self.pending = still_pending

    def remainders(self, seed: int) -> Iterator[tuple[str, Tree]]:
        """What the disk may hold after a cut now, with the name of the variant."""
        for name, choose in variants(seed).items():
            tree = self.safe.copy()
            for effect in choose(self.pending):
                tree.apply(effect)
            yield name, tree


def home(effect: Pending) -> int:
    """The file or directory that must be synced for the effect to be safe."""
    match effect:
        case Write(node=node) | Truncate(node=node):
            return node
        case Rename(to=to):
            return to
        case Make(at=at) | Remove(at=at):
            return at


def _feeds(effect: Pending, pending: Sequence[Pending], last: int, node: int) -> bool:
    """Whether the effect changes names in the source directory of a rename that becomes safe."""
    if isinstance(effect, Write | Truncate):
        return False
    sources = {e.at for e in pending[: last + 1] if isinstance(e, Rename) and e.to == node}
    return home(effect) in sources


def is_data(effect: Pending) -> bool:
    """Whether the effect changes bytes or length of a file; else it changes names."""
    return isinstance(effect, Write | Truncate)


Choose = Callable[[Sequence[Pending]], Sequence[Pending]]


def variants(seed: int) -> dict[str, Choose]:
    """What a disk may hold of the effects that were not synced, by the name of the variant."""
    return {
        "nothing": lambda _: [],
        "everything": lambda pending: pending,
        "names": lambda pending: [e for e in pending if not is_data(e)],
        "lengths": lambda pending: [_hollow(e) for e in pending],
        "bytes": lambda pending: [e for e in pending if is_data(e)],
        "torn": _torn,
        "last-write": _last_write,
        "without-first-write": _without_first_write,
        "chance": lambda pending: _chance(pending, random.Random(seed)),
    }


def _hollow(effect: Pending) -> Pending:
    """The length is on disk, with zeros for the bytes."""
    if isinstance(effect, Write):
        return Write(effect.node, effect.offset, bytes(len(effect.data)))
    return effect


def _torn(pending: Sequence[Pending]) -> Sequence[Pending]:
    writes = [n for n, effect in enumerate(pending) if isinstance(effect, Write)]
    if not writes:
        return pending
    torn = pending[writes[-1]]
    assert isinstance(torn, Write)
    end = (torn.offset + len(torn.data)) // 2 // SECTOR * SECTOR
    half = Write(torn.node, torn.offset, torn.data[: max(0, end - torn.offset)])
    return [*pending[: writes[-1]], half, *pending[writes[-1] + 1 :]]


def _last_write(pending: Sequence[Pending]) -> Sequence[Pending]:
    writes = [effect for effect in pending if isinstance(effect, Write)]
    return [e for e in pending if not is_data(e) or (writes and e is writes[-1])]


def _without_first_write(pending: Sequence[Pending]) -> Sequence[Pending]:
    writes = [effect for effect in pending if isinstance(effect, Write)]
    return [effect for effect in pending if not writes or effect is not writes[0]]


def _chance(pending: Sequence[Pending], chance: random.Random) -> Sequence[Pending]:
    """A random choice of the writes, and the names as they were at a random moment."""
    names = [effect for effect in pending if not is_data(effect)]
    moment = chance.randint(0, len(names))
    on_disk = {id(effect) for effect in names[:moment]}
    return [
        effect
        for effect in pending
        if (id(effect) in on_disk if not is_data(effect) else chance.random() < 0.5)
    ]
