"""spsd against curl, wget, aria2c and Python's HTTP clients on loopback, and against its goals."""

import argparse
import asyncio
import json
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from scripts.programs.bench import api, concurrency, downloads, events, goals, machine, tools, wan
from scripts.programs.bench.appliance import SPSD
from scripts.programs.bench.measuring import BenchError
from scripts.programs.bench.peers import NAMES, Peer, peers
from scripts.programs.bench.place import Place
from scripts.programs.bench.report import Part, document, markdown
from scripts.programs.bench.scale import QUICK, WHOLE, Scale
from scripts.programs.docs.run import renewed

ROOT: Final = Path(__file__).resolve().parents[3]
DOCUMENT: Final = ROOT / "docs" / "performance.md"
PARTS: Final = {
    "http": "one download over http (what is measured unless something is named)",
    "https": "one download over https",
    "wan": "a far origin that limits each connection: 1 and 4 connections",
    "concurrency": "1, 4, 16 and 64 jobs at once",
    "api": "latency beside downloads, POSTs a second, many records, start",
    "events": "20 downloads while 200 clients read along, against none",
}
_ROOM: Final = 6
"""How many times the object's size may lie on the disk at once."""
_BUSY: Final = 0.5
_UNITS: Final = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    chosen = [name for name in PARTS if options.all or getattr(options, name)] or ["http"]
    if options.write and (len(chosen) < len(PARTS) or options.only or options.quick):
        parser.error("--write is for the whole of it: --all, and nothing left out")
    scale = QUICK if options.quick else WHOLE
    scale = scale.with_(size=options.size, rounds=options.rounds)
    # Ended from outside, it still ends its children.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        found = _measure(options, chosen, scale)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 1
    facts, parts = found
    figures = {name: value for part in parts for name, value in part.figures.items()}
    text = markdown(facts, parts, goals.table(figures))
    print(text)
    if options.json:
        told = document(facts, parts, goals.verdicts(figures))
        options.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    if options.write:
        old = DOCUMENT.read_text(encoding="utf-8")
        DOCUMENT.write_text(renewed(old, "bench", text), encoding="utf-8")
    return 0


def _measure(
    options: argparse.Namespace, chosen: Sequence[str], scale: Scale
) -> tuple[dict[str, str], Sequence[Part]]:
    directory: Path = options.directory
    directory.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(directory).free) < (needed := _ROOM * scale.size):
        raise BenchError(f"{directory}: {free:,} bytes are free, and {needed:,} are needed")
    if (load := os.getloadavg()[0]) > _BUSY:
        tools.say(f"this machine is busy (load {load:.1f}): the figures are of little use")
    python = tools.interpreter(directory / "venv")
    if not options.no_install:
        tools.install_programs()
        python = tools.install_libraries(directory / "venv")
    with tempfile.TemporaryDirectory(prefix="bench-", dir=directory) as root:
        place = Place(Path(root))
        floor, language = tools.build_floor(place.root)
        facts = dict(machine.facts(place.root, python, language))
        there = peers(python, floor)
        invited = [one for one in there if not options.only or one.name in options.only]
        with_spsd = not options.only or SPSD in options.only
        parts = asyncio.run(_play(place, invited, chosen, scale, with_spsd=with_spsd))
    return facts, parts


async def _play(
    place: Place, invited: Sequence[Peer], chosen: Sequence[str], scale: Scale, *, with_spsd: bool
) -> Sequence[Part]:
    parts = []
    for name in chosen:
        match name:
            case "http" | "https":
                part = await downloads.measure(
                    place, invited, scale, tls=name == "https", with_spsd=with_spsd
                )
            case "wan":
                part = await wan.measure(place, invited, scale)
            case "concurrency":
                part = await concurrency.measure(place, scale)
            case "api":
                part = await api.measure(place, scale)
            case "events":
                part = await events.measure(place, scale)
            case _:
                raise ValueError(name)
        parts.append(part)
    return parts


def _size(text: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMG]?)B?", text.upper())
    if found is None or not (size := int(float(found[1]) * _UNITS[found[2]])):
        raise argparse.ArgumentTypeError(f"no size such as 8M or 1.5G: {text}")
    return size


def _rounds(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"no number of rounds: {text}")
    return int(text)


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - {SPSD, *NAMES}:
        raise argparse.ArgumentTypeError(f"nobody known: {', '.join(sorted(unknown))}")
    return names


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    for name, what in PARTS.items():
        parser.add_argument(f"--{name}", action="store_true", help=f"measure {what}")
    parser.add_argument("--all", action="store_true", help="measure all of that")
    everybody = ", ".join([SPSD, *NAMES])
    parser.add_argument("--only", type=_names, metavar="NAME,...", help=f"of {everybody}")
    parser.add_argument("--size", type=_size, help="of the object, such as 200M (1.5G)")
    parser.add_argument("--rounds", type=_rounds, help="of which medians are shown (5)")
    parser.add_argument(
        "--directory",
        type=lambda text: Path(text).resolve(),
        default=ROOT / ".bench",
        help="where objects and results lie; its file system is part of what is measured (.bench)",
    )
    parser.add_argument("--quick", action="store_true", help="small and once: does it work?")
    parser.add_argument("--no-install", action="store_true", help="install nothing that is missing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument(
        "--write", action="store_true", help="put the report into docs/performance.md as well"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
