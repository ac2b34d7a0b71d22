"""The contenders that are commands: other download programs, Python HTTP clients, the floor."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

from scripts.programs.bench import tools
from scripts.programs.bench.samples import Sample, measure_command
from scripts.programs.bench.workspace import Source

FLOOR: Final = "floor"
BASELINE: Final = "curl+sha256sum"
RESULT: Final = "object"
_PYTHON_PEER: Final = Path(__file__).with_name("python_peer.py")
Command = Callable[[Source], Sequence[str]]


class Contender(Protocol):
    """Fetches a source into a directory, verifies its digest and makes it durable."""

    @property
    def name(self) -> str: ...

    async def fetch(self, source: Source, into: Path) -> tuple[Sample, Path]:
        """The cost and the path of the file.

        Raises:
            BenchError: the download failed.
        """


@dataclass(frozen=True, slots=True)
class Peer:
    """A command that leaves the file ``object``; it fails if the digest is wrong."""

    name: str
    command: Command

    async def fetch(self, source: Source, into: Path) -> tuple[Sample, Path]:
        sample = await measure_command(self.command(source), into, _environ(into))
        return sample, into / RESULT


def _environ(home: Path) -> Mapping[str, str]:
    """An environment without the user's settings, proxies and translations."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8"}


def _in_shell(fetch: str, verify: str) -> Command:
    def command(source: Source) -> Sequence[str]:
        script = f"set -e; {fetch}; {verify}; sync {RESULT}"
        return ["sh", "-c", script, "sh", source.url, source.sha256, *_authority(source)]

    return command


def _authority(source: Source) -> Sequence[str]:
    return [] if source.authority is None else [str(source.authority)]


_CURL: Final = f'curl --disable --silent --show-error --fail ${{3:+--cacert "$3"}} -o {RESULT} "$1"'
_WGET: Final = f'wget --no-config --no-verbose ${{3:+--ca-certificate="$3"}} -O {RESULT} "$1"'
_SHA256SUM: Final = f'echo "$2  {RESULT}" | sha256sum --check --status'
_OPENSSL: Final = f'test "$(openssl dgst -sha256 -r {RESULT})" = "$2 *{RESULT}"'
_ARIA2C: Final = (
    "aria2c --no-conf -x{n} -s{n} --min-split-size=1M --file-allocation=none"
    " --console-log-level=error --summary-interval=0 --show-console-readout=false"
    ' --checksum=sha-256="$2" ${{3:+--ca-certificate="$3"}} --out={file} "$1"'
)


def _aria2c(connections: int) -> Command:
    return _in_shell(_ARIA2C.format(n=connections, file=RESULT), "true")


_COMMANDS: Final[Mapping[str, tuple[Sequence[str], Command]]] = {
    BASELINE: (("curl", "sha256sum"), _in_shell(_CURL, _SHA256SUM)),
    "curl+openssl": (("curl", "openssl"), _in_shell(_CURL, _OPENSSL)),
    "wget+sha256sum": (("wget", "sha256sum"), _in_shell(_WGET, _SHA256SUM)),
    "aria2c-x1": (("aria2c",), _aria2c(1)),
    "aria2c-x4": (("aria2c",), _aria2c(4)),
    "aria2c-x16": (("aria2c",), _aria2c(16)),
}
NAMES: Final = (*_COMMANDS, *tools.LIBRARIES, FLOOR)


def peers(python: Path, floor: Sequence[str]) -> Sequence[Peer]:
    """All peers that are installed; the last is the floor, whose command is ``floor``."""
    available = []
    for name, (programs, command) in _COMMANDS.items():
        if missing := [program for program in programs if shutil.which(program) is None]:
            tools.say(f"{name} is left out: {', '.join(missing)} is not installed")
        else:
            available.append(Peer(name, command))
    installed = tools.libraries(python)
    for name in tools.LIBRARIES:
        if name in installed:
            available.append(Peer(name, _with_library(python, name)))
        else:
            tools.say(f"{name} is left out: it is not installed")
    return [*available, Peer(FLOOR, _floor(floor))]


def _with_library(python: Path, library: str) -> Command:
    def command(source: Source) -> Sequence[str]:
        arguments = [library, source.url, RESULT, source.sha256, *_authority(source)]
        return [str(python), "-I", str(_PYTHON_PEER), *arguments]

    return command


def _floor(floor: Sequence[str]) -> Command:
    def command(source: Source) -> Sequence[str]:
        parts = urlsplit(source.url)
        return [*floor, str(parts.hostname), str(parts.port), parts.path, RESULT, source.sha256]

    return command
