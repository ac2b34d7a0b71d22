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
from scripts.programs.bench.peers import NAMES, Peer, peers
from scripts.programs.bench.report import Part, document, markdown
from scripts.programs.bench.samples import BenchError
from scripts.programs.bench.scale import QUICK, WHOLE, Scale
from scripts.programs.bench.workspace import Workspace
from scripts.programs.docs.run import renewed

ROOT: Final = Path(__file__).resolve().parents[3]
DOCUMENT: Final = ROOT / "docs" / "performance.md"
PARTS: Final = {
    "http": "one download over http (the default)",
    "https": "one download over https",
    "wan": "a far origin that limits each connection: 1 and 4 connections",
    "concurrency": "1, 4, 16 and 64 jobs at once",
    "api": "latency during downloads, POSTs per second, many records, start",
    "events": "20 downloads with 200 event subscribers, against none",
}
_DISK_FACTOR: Final = 6
"""Free disk space that is required, in multiples of the object's size."""
_BUSY_LOAD: Final = 0.5
_UNITS: Final = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    chosen = [name for name in PARTS if options.all or getattr(options, name)] or ["http"]
    if options.write and (len(chosen) < len(PARTS) or options.only or options.quick):
        parser.error("--write requires the whole benchmark: --all without --only and --quick")
    scale = QUICK if options.quick else WHOLE
    scale = scale.with_(size=options.size, rounds=options.rounds)
    # SIGTERM raises SystemExit, so that the child processes are ended too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        facts, parts = _measure(options, chosen, scale)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 1
    figures = {name: value for part in parts for name, value in part.figures.items()}
    text = markdown(facts, parts, goals.table(figures))
    print(text)
    if options.json:
        report = document(facts, parts, goals.verdicts(figures))
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if options.write:
        old = DOCUMENT.read_text(encoding="utf-8")
        DOCUMENT.write_text(renewed(old, "bench", text), encoding="utf-8")
    return 0


def _measure(
    options: argparse.Namespace, chosen: Sequence[str], scale: Scale
) -> tuple[dict[str, str], Sequence[Part]]:
    directory: Path = options.directory
    directory.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(directory).free) < (needed := _DISK_FACTOR * scale.size):
        raise BenchError(f"{directory}: {free:,} bytes are free, and {needed:,} are needed")
    if (load := os.getloadavg()[0]) > _BUSY_LOAD:
        tools.say(f"this machine is busy (load {load:.1f}): the figures are not reliable")
    python = tools.interpreter(directory / "venv")
    if not options.no_install:
        tools.install_programs()
        python = tools.install_libraries(directory / "venv")
    with tempfile.TemporaryDirectory(prefix="bench-", dir=directory) as root:
        workspace = Workspace(Path(root))
        floor, language = tools.build_floor(workspace.root)
        facts = dict(machine.facts(workspace.root, python, language))
        available = peers(python, floor)
        selected = [peer for peer in available if not options.only or peer.name in options.only]
        with_spsd = not options.only or SPSD in options.only
        parts = asyncio.run(_run_parts(workspace, selected, chosen, scale, with_spsd=with_spsd))
    return facts, parts


async def _run_parts(
    workspace: Workspace,
    selected: Sequence[Peer],
    chosen: Sequence[str],
    scale: Scale,
    *,
    with_spsd: bool,
) -> Sequence[Part]:
    parts = []
    for name in chosen:
        match name:
            case "http" | "https":
                part = await downloads.measure(
                    workspace, selected, scale, tls=name == "https", with_spsd=with_spsd
                )
            case "wan":
                part = await wan.measure(workspace, selected, scale)
            case "concurrency":
                part = await concurrency.measure(workspace, scale)
            case "api":
                part = await api.measure(workspace, scale)
            case "events":
                part = await events.measure(workspace, scale)
            case _:
                raise ValueError(name)
        parts.append(part)
    return parts


def _size(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMG]?)B?", text.upper())
    if match is None or not (size := int(float(match[1]) * _UNITS[match[2]])):
        raise argparse.ArgumentTypeError(f"not a size such as 8M or 1.5G: {text}")
    return size


def _rounds(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"not a number of rounds: {text}")
    return int(text)


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - {SPSD, *NAMES}:
        raise argparse.ArgumentTypeError(f"unknown contenders: {', '.join(sorted(unknown))}")
    return names


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    for name, subject in PARTS.items():
        parser.add_argument(f"--{name}", action="store_true", help=f"measure {subject}")
    parser.add_argument("--all", action="store_true", help="measure all of these")
    contenders = ", ".join([SPSD, *NAMES])
    parser.add_argument(
        "--only", type=_names, metavar="NAME,...", help=f"only these contenders, of {contenders}"
    )
    parser.add_argument("--size", type=_size, help="size of the object, such as 200M (1.5G)")
    parser.add_argument("--rounds", type=_rounds, help="number of rounds; medians are reported (5)")
    parser.add_argument(
        "--directory",
        type=lambda text: Path(text).resolve(),
        default=ROOT / ".bench",
        help="directory of objects and results; its file system is measured too (.bench)",
    )
    parser.add_argument(
        "--quick", action="store_true", help="small objects, one round: a check of the program"
    )
    parser.add_argument(
        "--no-install", action="store_true", help="do not install missing programs and libraries"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to this file")
    parser.add_argument(
        "--write", action="store_true", help="put the report into docs/performance.md as well"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
