"""The programs that are measured: installed where they may be, named with their versions."""

import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

PACKAGES: Final[Mapping[str, str]] = {
    "curl": "curl",
    "wget": "wget",
    "aria2c": "aria2",
    "openssl": "openssl",
    "sha256sum": "coreutils",
    "nginx": "nginx-light",
    "cc": "gcc libc6-dev libssl-dev",
}
"""Programs, and the packages of Debian that have them."""
LIBRARIES: Final = ("requests", "urllib3", "httpx")
_FLOOR: Final = Path(__file__).with_name("floor.c")
_FALLBACK: Final = Path(__file__).with_name("floor_fallback.py")


def say(what: str) -> None:
    """Tell on standard error; the tables have standard output to themselves."""
    print(f"bench: {what}", file=sys.stderr, flush=True)


def install_programs() -> None:
    """Have apt-get bring what is missing, where it is there and may; else say what is missing."""
    missing = [name for name in PACKAGES if shutil.which(name) is None]
    if not missing:
        return
    packages = [package for name in missing for package in PACKAGES[name].split()]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        say(f"going on without {', '.join(missing)}; Debian has them in {' '.join(packages)}")
        return
    say(f"installing {' '.join(packages)}")
    # RUNLEVEL=1 lets the packages start no server.
    environ = os.environ | {"RUNLEVEL": "1", "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "--no-install-recommends", *packages]):
        subprocess.run(["apt-get", "-qq", *words], env=environ, check=False, stdout=sys.stderr)


def install_libraries(directory: Path) -> Path:
    """A virtual environment with the HTTP clients of others; gives its interpreter."""
    python = interpreter(directory)
    if not python.exists():
        say(f"making a virtual environment for {', '.join(LIBRARIES)}")
        venv.create(directory, with_pip=True)
    if len(libraries(python)) < len(LIBRARIES):
        pip = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        subprocess.run([*pip, *LIBRARIES], check=False, stdout=sys.stderr)
    return python


def interpreter(directory: Path) -> Path:
    """The interpreter of the virtual environment in a directory."""
    return directory / "bin" / "python"


def libraries(python: Path) -> Mapping[str, str]:
    """The HTTP clients that an interpreter has, with their versions."""
    script = (
        "import importlib.metadata as m, sys\n"
        "for name in sys.argv[1:]:\n"
        "    try: print(name, m.version(name))\n"
        "    except m.PackageNotFoundError: pass\n"
    )
    if not python.exists():
        return {}
    done = subprocess.run(
        [python, "-c", script, *LIBRARIES], capture_output=True, text=True, check=True
    )
    return dict(line.split() for line in done.stdout.splitlines())


def build_floor(directory: Path) -> tuple[list[str], str]:
    """The words that start the floor, and what it is written in."""
    program = directory / "floor"
    words = ["cc", "-O2", "-pthread", str(_FLOOR), "-lcrypto", "-o", str(program)]
    if shutil.which("cc") is None:
        say("there is no C compiler: the floor is in Python")
    else:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return [str(program)], "C"
        line = next((one for one in done.stderr.splitlines() if "error" in one), "")
        say(f"the floor does not compile and is in Python ({line.strip()})")
    return [sys.executable, "-I", "-S", str(_FALLBACK)], "Python"


def version(program: str) -> str | None:
    """The version that a program tells of itself, None where it is not installed."""
    if shutil.which(program) is None:
        return None
    option = {"nginx": "-v", "openssl": "version"}.get(program, "--version")
    done = subprocess.run([program, option], capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.\d+(\.\d+)*", done.stdout + done.stderr)
    return found[0] if found else "of unknown version"


def versions(programs: Sequence[str]) -> Mapping[str, str]:
    """Those of the programs that are installed."""
    told = ((name, version(name)) for name in programs)
    return {name: found for name, found in told if found is not None}
