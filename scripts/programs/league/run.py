"""Tries every tool with every act of the hostile origin, and prints a table of the outcomes."""

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
from scripts.programs.league.peers import PEERS, Peer, find_peer
from scripts.programs.league.table import Outcome, Result, table
from spsd import __version__

SPSD: Final = "spsd"
DOCUMENT: Final = Path(__file__).resolve().parents[3] / "docs" / "league.md"
_AT_A_TIME: Final = 6


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.list:
        print("\n".join(f"{case.name:<25} {case.description}" for case in CASES))
        return 0
    if options.write and (options.act or SPSD not in options.only):
        parser.error("--write is for the whole table")
    cases = [case for case in CASES if not options.act or case.name in options.act]
    peers = [peer for name in options.only if name != SPSD and (peer := _installed(name))]
    # SIGTERM raises SystemExit, so that the child processes are ended too.
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
        _print_details(results)
    outcomes = {result.outcome for result in results.get(SPSD, {}).values()}
    return 1 if Outcome.CORRUPT in outcomes else 0


async def play(
    cases: Sequence[Case], peers: Sequence[Peer], directory: Path, *, with_spsd: bool
) -> Mapping[str, Mapping[str, Result]]:
    """Try each tool with each case; gives the results by tool and by case."""
    results: dict[str, Mapping[str, Result]] = {}
    if with_spsd:
        results[SPSD] = await league_spsd.results(cases, directory / SPSD)
    limit = asyncio.Semaphore(_AT_A_TIME)

    async def try_case(peer: Peer, case: Case) -> Result:
        async with limit:
            return await peer.try_case(case, directory / f"{peer.name} {case.name}")

    for peer in peers:
        in_order = await asyncio.gather(*(try_case(peer, case) for case in cases))
        results[peer.name] = {
            case.name: result for case, result in zip(cases, in_order, strict=True)
        }
    return results


def report(
    cases: Sequence[Case],
    results: Mapping[str, Mapping[str, Result]],
    versions: Mapping[str, str],
) -> str:
    """A line with the date and the versions of the tools, and the table."""
    tools = ", ".join(f"{name} {versions[name]}" for name in results)
    return f"{datetime.now(UTC):%Y-%m-%d}: {tools}.\n\n{table(cases, results)}"


def _installed(name: str) -> Peer | None:
    peer = find_peer(name)
    if peer is None:
        print(f"league: {name} is left out: it is not installed", file=sys.stderr)
    return peer


def _print_details(results: Mapping[str, Mapping[str, Result]]) -> None:
    for tool, by_case in results.items():
        for name, result in by_case.items():
            print(
                f"{tool} {name}: {result.outcome}, {result.wasted} bytes wasted; {result.message}"
            )


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
        help=f"only these tools, of {', '.join([SPSD, *PEERS])}; default: all that are installed",
    )
    parser.add_argument(
        *("--act", "-a"),
        action="append",
        choices=[case.name for case in CASES],
        metavar="NAME",
        help="this act only; may be repeated",
    )
    parser.add_argument("--list", action="store_true", help="print the acts and run nothing")
    parser.add_argument(
        "--verbose", action="store_true", help="also print the last output of each tool"
    )
    parser.add_argument(
        "--write", action="store_true", help="put the table into docs/league.md as well"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
