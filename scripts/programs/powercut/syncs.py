"""Leaves out the daemon's syncs, one kind at a time: whether a promise breaks without it."""

import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from scripts.programs.powercut.effects import BEGIN, ROOT, Effect, Make, Mark, Rename, Sync
from scripts.programs.powercut.remainders import Remainder, Remainders

_WORDS: Final = (
    (re.compile(r"\b[0-9a-f]{64}\b"), "DIGEST"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "UUID"),
    (re.compile(r"(?<=/slots/)\d+\b"), "N"),
)
LeftBy = Callable[[Sequence[Effect]], Remainders]
"""What may be left of a record."""
SPARE: Final[Mapping[str, str]] = {
    "file /state/staging/upload-UUID/.partial.json.new": (
        "an upload is never taken up again, so nobody reads it; a download's is the same code"
    ),
}
"""The kinds that no cut misses, and why they are there all the same."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A kind of sync, and what can be left if it is never done."""

    kind: str
    times: int
    remainders: Sequence[Remainder]
    """Those alone that cannot be left as long as it is done, in an order by chance."""


def kinds(effects: Sequence[Effect]) -> list[str | None]:
    """For each effect the kind of sync that it is, such as ``file /state/slots/N/manifest.json``.

    None: it is no sync, or happened before the first mark.
    """
    names: dict[int, tuple[int, str]] = {}
    shapes = {ROOT: "directory"}
    found: list[str | None] = []
    begun = False
    for effect in effects:
        match effect:
            case Make(at=at, name=name, node=node, kind=shape):
                names[node], shapes[node] = (at, name), shape
            case Rename(at=at, name=name, to=to, new=new):
                moved = next(n for n, where in names.items() if where == (at, name))
                names = {n: where for n, where in names.items() if where != (to, new)}
                names[moved] = (to, new)
            case Mark():
                begun = begun or effect == Mark(BEGIN)
        is_sync = isinstance(effect, Sync) and begun
        found.append(_kind(effect.node, names, shapes) if is_sync else None)
    return found


def _kind(node: int, names: Mapping[int, tuple[int, str]], shapes: Mapping[int, str]) -> str:
    path, at = "", node
    while at != ROOT:
        at, name = names[at]
        path = f"/{name}{path}"
    for pattern, word in _WORDS:
        path = pattern.sub(word, path)
    return f"{shapes[node]} {path or '/'}"


def missing(effects: Sequence[Effect], left_by: LeftBy, seed: int = 7) -> list[Missing]:
    """What can be left, for each kind of sync that is left out, and else could not."""
    whole, of_each = left_by(effects), kinds(effects)
    found = []
    for kind, times in Counter(kind for kind in of_each if kind is not None).items():
        without = [e for e, its in zip(effects, of_each, strict=True) if its != kind]
        new = [
            one
            for key, one in left_by(without).different.items()
            if key not in whole.different or one.most < whole.different[key].most
        ]
        random.Random(seed).shuffle(new)
        found.append(Missing(kind, times, new))
    return found
