"""Leaves the daemon's syncs out of a record, one kind at a time, to try whether each is needed."""

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
RemaindersOf = Callable[[Sequence[Effect]], Remainders]
"""Gives the remainders of a record."""
SPARE: Final[Mapping[str, str]] = {
    "file /state/staging/upload-UUID/.partial.json.new": (
        "an upload is never resumed, so this file is not read; downloads need the same code"
    ),
}
"""The kinds of sync without which no promise breaks, and the reason why the daemon has them."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A kind of sync, and the remainders that are possible only without it."""

    kind: str
    times: int
    remainders: Sequence[Remainder]
    """In random order."""


def kinds(effects: Sequence[Effect]) -> list[str | None]:
    """For each effect its kind of sync, such as ``file /state/slots/N/manifest.json``.

    None: the effect is not a sync, or is before the first mark.
    """
    names: dict[int, tuple[int, str]] = {}
    shapes = {ROOT: "directory"}
    by_effect: list[str | None] = []
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
        by_effect.append(_kind(effect.node, names, shapes) if is_sync else None)
    return by_effect


def _kind(node: int, names: Mapping[int, tuple[int, str]], shapes: Mapping[int, str]) -> str:
    path, at = "", node
    while at != ROOT:
        at, name = names[at]
        path = f"/{name}{path}"
    for pattern, word in _WORDS:
        path = pattern.sub(word, path)
    return f"{shapes[node]} {path or '/'}"


def missing(effects: Sequence[Effect], remainders_of: RemaindersOf, seed: int = 7) -> list[Missing]:
    """For each kind of sync in the record the remainders that are possible only without it."""
    complete, by_effect = remainders_of(effects), kinds(effects)
    results = []
    for kind, times in Counter(kind for kind in by_effect if kind is not None).items():
        without = [e for e, its_kind in zip(effects, by_effect, strict=True) if its_kind != kind]
        additional = [
            remainder
            for key, remainder in remainders_of(without).different.items()
            if key not in complete.different or remainder.most < complete.different[key].most
        ]
        random.Random(seed).shuffle(additional)
        results.append(Missing(kind, times, additional))
    return results
