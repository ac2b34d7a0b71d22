"""Contenders who fetch the same object in turns."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts.programs.bench.measuring import BenchError, Sample, Series
from scripts.programs.bench.peers import Contender, Peer
from scripts.programs.bench.place import Place, Source
from scripts.programs.bench.tools import say


async def race(
    place: Place, contenders: Sequence[Contender], source: Source, *, rounds: int, what: str
) -> Mapping[str, Series]:
    """Let them take turns, every second round backwards; what they leave is proven once.

    A peer that fails is out from then on, and not in the results.

    Raises:
        BenchError: spsd failed, or left something else.
    """
    samples: dict[str, list[Sample]] = {one.name: [] for one in contenders}
    for number in range(rounds):
        say(f"{what}: round {number + 1} of {rounds}")
        for one in contenders if number % 2 == 0 else reversed(contenders):
            if one.name not in samples:
                continue
            try:
                sample = await _turn(place, one, source, prove=number == 0)
            except BenchError as error:
                if not isinstance(one, Peer):
                    raise
                say(f"{one.name} is out: {error}")
                del samples[one.name]
            else:
                samples[one.name].append(sample)
    return {name: Series(taken) for name, taken in samples.items()}


async def _turn(place: Place, one: Contender, source: Source, *, prove: bool) -> Sample:
    with place.fresh() as into:
        sample, file = await one.fetch(source, into)
        if file.stat().st_size != source.size or (prove and _sha256(file) != source.sha256):
            raise BenchError(f"{one.name}: {file.name} is not the object that was asked for")
        return sample


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
