"""The dependencies that pyproject.toml declares are those that the code imports."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Set
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OWN = {"spsd", "tests", "testbed", "scripts"}
TESTING = ROOT / "spsd" / "testing"
# python_peer.py runs in a virtual environment with the libraries that the benchmark compares.
PYTHON_PEER = ROOT / "scripts" / "programs" / "bench" / "python_peer.py"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DISTRIBUTIONS = packages_distributions()


def canonical(name: str) -> str:
    """The normalized name of a distribution, as the specification of simple indexes defines it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(requirements: Iterable[str]) -> set[str]:
    """The normalized names in a list of requirements."""
    names = (re.match(r"[A-Za-z0-9._-]+", requirement) for requirement in requirements)
    return {canonical(name[0]) for name in names if name is not None}


RUN_TIME = declared(PROJECT["dependencies"])
EXTRA_TESTING = declared(PROJECT["optional-dependencies"]["testing"])
EXTRA_DEV = declared(PROJECT["optional-dependencies"]["dev"])


def modules(source: str) -> set[str]:
    """The top-level names of the modules that the source imports, also inside functions."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=aliases):
                names |= {alias.name.partition(".")[0] for alias in aliases}
            case ast.ImportFrom(module=str() as module, level=0):
                names.add(module.partition(".")[0])
    return names


def imported(files: Iterable[Path]) -> dict[str, str]:
    """The distributions that the files import, each with one of these files."""
    distributions = {}
    for file in files:
        for module in modules(file.read_text(encoding="utf-8")) - sys.stdlib_module_names - OWN:
            # A module of no installed distribution is reported by its own name.
            for name in DISTRIBUTIONS.get(module, [module]):
                distributions[canonical(name)] = str(file.relative_to(ROOT))
    return distributions


def undeclared(files: Iterable[Path], names: Set[str]) -> dict[str, str]:
    """The imported distributions that are not in ``names``, each with a file."""
    return {name: file for name, file in imported(files).items() if name not in names}


def python_files(*folders: str) -> list[Path]:
    return sorted(file for folder in folders for file in (ROOT / folder).rglob("*.py"))


DAEMON_FILES = [file for file in python_files("spsd") if TESTING not in file.parents]
TESTING_FILES = python_files("spsd/testing")


def test_imports_are_detected() -> None:
    source = "import a.b, c as d\nfrom e.f import g\nfrom . import h\ndef i():\n    import j\n"
    assert modules(source) == {"a", "c", "e", "j"}
    assert "aiohttp" in imported(DAEMON_FILES)
    assert "argon2-cffi" in imported(DAEMON_FILES)


def test_a_missing_declaration_is_detected() -> None:
    assert list(undeclared(DAEMON_FILES, RUN_TIME - {"yarl"})) == ["yarl"]


def test_the_daemon_imports_what_is_declared() -> None:
    assert undeclared(DAEMON_FILES, RUN_TIME) == {}


def test_every_run_time_dependency_is_imported() -> None:
    assert imported(DAEMON_FILES).keys() >= RUN_TIME


def test_the_extra_testing_is_what_its_package_imports_beyond_the_daemon() -> None:
    assert imported(TESTING_FILES).keys() - RUN_TIME == EXTRA_TESTING


@pytest.mark.parametrize("folder", ["tests", "testbed", "scripts"])
def test_development_imports_what_is_declared(folder: str) -> None:
    files = [file for file in python_files(folder) if file != PYTHON_PEER]
    assert undeclared(files, RUN_TIME | EXTRA_DEV) == {}


def test_the_extra_dev_includes_the_extra_testing() -> None:
    assert EXTRA_TESTING <= EXTRA_DEV
