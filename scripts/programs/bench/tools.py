"""The programs and libraries that are measured: their installation and their versions."""

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
"""Debian's packages of each program, separated by blanks."""
LIBRARIES: Final = ("requests", "urllib3", "httpx")
_FLOOR: Final = Path(__file__).with_name("floor.c")
_FALLBACK: Final = Path(__file__).with_name("floor_fallback.py")


def say(message: str) -> None:
    """Print a message to standard error; standard output has only the report."""
    print(f"bench: {message}", file=sys.stderr, flush=True)


def install_programs() -> None:
    """Install missing programs with apt-get as root; else report which are missing."""
    missing = [name for name in PACKAGES if shutil.which(name) is None]
    if not missing:
        return
    packages = [package for name in missing for package in PACKAGES[name].split()]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        say(f"not installed: {', '.join(missing)} (Debian: {' '.join(packages)})")
        return
    say(f"installing {' '.join(packages)}")
    # RUNLEVEL=1 lets the packages start no server.
    environ = os.environ | {"RUNLEVEL": "1", "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "--no-install-recommends", *packages]):
        subprocess.run(["apt-get", "-qq", *words], env=environ, check=False, stdout=sys.stderr)


def install_libraries(directory: Path) -> Path:
    """Make a virtual environment with the HTTP clients to compare; gives its interpreter."""
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
    """The versions of the HTTP clients that are installed for an interpreter, by name."""
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
    """Compile the floor; gives the command that starts it, and its language."""
    program = directory / "floor"
    compiler = ["cc", "-O2", "-pthread", str(_FLOOR), "-lcrypto", "-o", str(program)]
    if shutil.which("cc") is None:
        say("there is no C compiler: the floor is in Python")
    else:
        done = subprocess.run(compiler, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return [str(program)], "C"
        error = next((line for line in done.stderr.splitlines() if "error" in line), "")
        say(f"the floor cannot be compiled and is in Python ({error.strip()})")
    return [sys.executable, "-I", "-S", str(_FALLBACK)], "Python"


def version(program: str) -> str | None:
    """The version that a program reports; None if it is not installed."""
    if shutil.which(program) is None:
        return None
    option = {"nginx": "-v", "openssl": "version"}.get(program, "--version")
    done = subprocess.run([program, option], capture_output=True, text=True, check=False)
    match = re.search(r"\d+\.\d+(\.\d+)*", done.stdout + done.stderr)
    return match[0] if match else "of unknown version"


def versions(programs: Sequence[str]) -> Mapping[str, str]:
    """The versions of the programs that are installed, by name."""
    all_versions = ((name, version(name)) for name in programs)
    return {name: known for name, known in all_versions if known is not None}
