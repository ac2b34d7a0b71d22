"""The Python part of scripts/league: every act of the hostile origin against every tool."""

import argparse
import asyncio
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from scripts.programs.docs.run import renewed
from scripts.programs.league import spsd as league_spsd
from scripts.programs.league.cases import CASES, Case
from scripts.programs.league.peers import PEERS, Peer, found
from scripts.programs.league.table import Outcome, Result, table
from spsd import __version__

SPSD: Final = "spsd"
DOCUMENT: Final = Path(__file__).resolve().parents[3] / "docs" / "league.md"
_AT_A_TIME: Final = 6


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.list:
        print("\n".join(f"{case.name:<25} {case.what}" for case in CASES))
        return 0
    if options.write and (options.act or SPSD not in options.only):
        parser.error("--write is for the whole table")
    cases = [case for case in CASES if not options.act or case.name in options.act]
    peers = [peer for name in options.only if name != SPSD and (peer := _present(name))]
    # Ended from outside, the league still ends its children.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        with tempfile.TemporaryDirectory(prefix="spsd-league-") as directory:
            results = asyncio.run(
                play(cases, peers, Path(directory), with_spsd=SPSD in options.only)
            )
    except league_spsd.PreparationError as error:
        print(f"league: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("league: interrupted", file=sys.stderr)
        return 1
    versions = {SPSD: __version__} | {peer.name: peer.version for peer in peers}
    part = report(cases, results, versions)
    if options.write:
        text = DOCUMENT.read_text(encoding="utf-8")
        DOCUMENT.write_text(renewed(text, "league", part), encoding="utf-8")
    print(part)
    if options.verbose:
        _tell(results)
    corrupt = [one for one in results.get(SPSD, {}).values() if one.outcome is Outcome.CORRUPT]
    return 1 if corrupt else 0


async def play(
    cases: Sequence[Case], peers: Sequence[Peer], directory: Path, *, with_spsd: bool
) -> Mapping[str, Mapping[str, Result]]:
    """Let each tool meet each case; gives the results by tool and by case."""
    results: dict[str, Mapping[str, Result]] = {}
    if with_spsd:
        results[SPSD] = await league_spsd.results(cases, directory / SPSD)
    few = asyncio.Semaphore(_AT_A_TIME)

    async def meet(peer: Peer, case: Case) -> Result:
        async with few:
            return await peer.meets(case, directory / f"{peer.name} {case.name}")

    for peer in peers:
        met = await asyncio.gather(*(meet(peer, case) for case in cases))
        results[peer.name] = {case.name: one for case, one in zip(cases, met, strict=True)}
    return results


def report(
    cases: Sequence[Case],
    results: Mapping[str, Mapping[str, Result]],
    versions: Mapping[str, str],
) -> str:
    """The table, under a line that says when it was made and of what."""
    told = ", ".join(f"{name} {versions[name]}" for name in results)
    return f"{datetime.now(UTC):%Y-%m-%d}: {told}.\n\n{table(cases, results)}"


def _present(name: str) -> Peer | None:
    peer = found(name)
    if peer is None:
        print(f"league: {name} is not installed, and left out", file=sys.stderr)
    return peer


def _tell(results: Mapping[str, Mapping[str, Result]]) -> None:
    for tool, by_case in results.items():
        for name, one in by_case.items():
            print(f"{tool} {name}: {one.outcome}, {one.wasted} bytes wasted; {one.said}")


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - {SPSD, *PEERS}:
        raise argparse.ArgumentTypeError(f"no tool of the league: {', '.join(sorted(unknown))}")
    return names


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/league", description=__doc__)
    parser.add_argument(
        *("--only", "-o"),
        type=_names,
        default=[SPSD, *PEERS],
        metavar="TOOL,...",
        help=f"of {', '.join([SPSD, *PEERS])}; default: all that are installed",
    )
    parser.add_argument(
        *("--act", "-a"),
        action="append",
        choices=[case.name for case in CASES],
        metavar="NAME",
        help="this act only; may be repeated",
    )
    parser.add_argument("--list", action="store_true", help="name the acts and run nothing")
    parser.add_argument("--verbose", action="store_true", help="tell what each tool said at last")
    parser.add_argument(
        "--write", action="store_true", help="put the table into docs/league.md as well"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
