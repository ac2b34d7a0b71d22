"""Runs tests against one mutant: in a child of its own, the module replaced as it is imported.

No file changes. The child is forked from a process that has imported what is not spsd's, so a
trial costs little more than its tests.
"""

import contextlib
import gc
import importlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import importlib.util
import os
import resource
import select
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from types import CodeType, ModuleType

import hypothesis
import pytest

MEMORY_BYTES = 4 * 1024**3
"""A mutant must not take the machine's memory."""
_HEAVY = ("aiohttp.test_utils", "argon2", "cryptography.x509", "psutil", "rich.console")


@dataclass(frozen=True, slots=True)
class Trial:
    """The module ``name`` as ``text``, and the tests it has to get past."""

    name: str
    text: str
    tests: tuple[str, ...]
    limit_s: float


@dataclass(frozen=True, slots=True)
class Noticed:
    """``by`` is the first test that failed; empty: it could not even be imported."""

    by: str
    timed_out: bool = False


def warm_up() -> None:
    """Import what every trial needs and no mutant touches."""
    for plugin in importlib.metadata.entry_points(group="pytest11"):
        plugin.load()
    for name in _HEAVY:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def run(trial: Trial) -> Noticed | None:
    """None: the mutant lives."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.setpgid(0, 0)
        _run_in_child(trial, writing)
    os.close(writing)
    try:
        ready, _, _ = select.select([reading], [], [], trial.limit_s)
        told = os.read(reading, 4096).decode() if ready else "timeout"
    finally:
        os.close(reading)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
    verdict, _, by = told.partition(" ")
    match verdict:
        case "survived":
            return None
        case "timeout":
            return Noticed("", timed_out=True)
        case "failed" | "":  # an empty answer: the child died of it
            return Noticed(by)
        case _:
            raise RuntimeError(f"the tests of {trial.name} could not be run: {told}")


def _run_in_child(trial: Trial, writing: int) -> None:
    verdict = "broken"
    try:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        silence = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(silence, descriptor)
        verdict = _verdict(trial)
    finally:
        os.write(writing, verdict.encode()[:4000])
        os._exit(0)


def _verdict(trial: Trial) -> str:
    for name in [
        name for name in sys.modules if name.startswith(("spsd", "scripts.programs.docs"))
    ]:
        del sys.modules[name]
    sys.dont_write_bytecode = False
    replacing = _Replacing(trial.name, trial.text)
    sys.meta_path.insert(0, replacing)
    hypothesis.settings.register_profile(
        "mutation", derandomize=True, database=None, deadline=None, max_examples=100
    )
    hypothesis.settings.load_profile("mutation")
    first = _FirstFailure()
    with tempfile.TemporaryDirectory() as scratch:
        options = ["-x", "-q", "--tb=no", "-p", "no:cacheprovider", f"--basetemp={scratch}/tests"]
        known = "ignore::pytest.PytestAssertRewriteWarning"  # plugins that are imported already
        code = pytest.main([*options, "-W", known, *trial.tests], plugins=[first])
    if not replacing.asked:
        return "broken: the tests do not import the module"
    match code:
        case pytest.ExitCode.OK:
            return "survived"
        case pytest.ExitCode.TESTS_FAILED | pytest.ExitCode.INTERRUPTED:
            return f"failed {first.name}"
        case pytest.ExitCode.USAGE_ERROR:  # conftest.py imports the mutant
            return "failed "
        case _:
            return f"broken {code}"


class _FirstFailure:
    def __init__(self) -> None:
        self.name = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.name:
            self.name = report.nodeid


class _Replacing(importlib.abc.MetaPathFinder):
    """Gives out the mutant under the module's name."""

    def __init__(self, name: str, text: str) -> None:
        self._name, self._text = name, text
        self.asked = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        self.asked = True
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        assert spec is not None
        assert spec.origin is not None
        loader = _Loader(fullname, spec.origin, self._text)
        return importlib.util.spec_from_file_location(fullname, spec.origin, loader=loader)


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, fullname: str, path: str, text: str) -> None:
        super().__init__(fullname, path)
        self._text = text

    def get_code(self, fullname: str) -> CodeType:
        """Never from a file or a cache."""
        return self.source_to_code(self._text.encode(), self.get_filename(fullname))


def module_name(path: str) -> str:
    """The dotted name of a file of the package."""
    return path.removesuffix(".py").replace("/", ".")
