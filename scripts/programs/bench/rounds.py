"""Rounds in which all contenders fetch the same object in turns."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts.programs.bench.peers import Contender, Peer
from scripts.programs.bench.samples import BenchError, Sample, Series
from scripts.programs.bench.tools import say
from scripts.programs.bench.workspace import Source, Workspace


async def run_rounds(
    workspace: Workspace,
    contenders: Sequence[Contender],
    source: Source,
    *,
    rounds: int,
    title: str,
) -> Mapping[str, Series]:
    """Run all contenders in each round, every second round in reverse order.

    The digest of each result is verified in the first round, its size in every round. A peer that
    fails is excluded from the later rounds and from the results.

    Raises:
        BenchError: spsd failed, or its result is not the object.
    """
    samples: dict[str, list[Sample]] = {contender.name: [] for contender in contenders}
    for number in range(rounds):
        say(f"{title}: round {number + 1} of {rounds}")
        for contender in contenders if number % 2 == 0 else reversed(contenders):
            if contender.name not in samples:
                continue
            try:
                sample = await _turn(workspace, contender, source, verify=number == 0)
            except BenchError as error:
                if not isinstance(contender, Peer):
                    raise
                say(f"{contender.name} is excluded: {error}")
                del samples[contender.name]
            else:
                samples[contender.name].append(sample)
    return {name: Series(taken) for name, taken in samples.items()}


async def _turn(
    workspace: Workspace, contender: Contender, source: Source, *, verify: bool
) -> Sample:
    with workspace.fresh() as into:
        sample, file = await contender.fetch(source, into)
        if file.stat().st_size != source.size or (verify and _sha256(file) != source.sha256):
            raise BenchError(f"{contender.name}: {file.name} is not the requested object")
        return sample


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
