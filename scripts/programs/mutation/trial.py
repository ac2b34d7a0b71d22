"""Runs tests against one mutant, in a child process in which an import hook replaces the module.

No file is changed. The child is forked from a process that has imported all foreign libraries, so
a trial takes little more time than its tests.
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
"""Memory limit of a trial: a mutant may allocate without bound."""
_HEAVY = ("aiohttp.test_utils", "argon2", "cryptography.x509", "psutil", "rich.console")


@dataclass(frozen=True, slots=True)
class Trial:
    """The module ``name`` with the mutant's ``text``, and the tests to run."""

    name: str
    text: str
    tests: tuple[str, ...]
    limit_s: float


@dataclass(frozen=True, slots=True)
class Noticed:
    """``by`` is the first test that failed; empty: the module could not be imported."""

    by: str
    timed_out: bool = False


def warm_up() -> None:
    """Import the modules that every trial needs and no mutant changes."""
    for plugin in importlib.metadata.entry_points(group="pytest11"):
        plugin.load()
    for name in _HEAVY:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def run(trial: Trial) -> Noticed | None:
    """Try a mutant; None: it survives.

    Raises:
        RuntimeError: the tests could not be run.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.setpgid(0, 0)
        _run_in_child(trial, writing)
    os.close(writing)
    try:
        ready, _, _ = select.select([reading], [], [], trial.limit_s)
        message = os.read(reading, 4096).decode() if ready else "timeout"
    finally:
        os.close(reading)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
    outcome, _, by = message.partition(" ")
    match outcome:
        case "survived":
            return None
        case "timeout":
            return Noticed("", timed_out=True)
        case "failed" | "":  # an empty message: the mutant has ended the child
            return Noticed(by)
        case _:
            raise RuntimeError(f"the tests of {trial.name} could not be run: {message}")


def _run_in_child(trial: Trial, writing: int) -> None:
    outcome = "broken"
    try:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        outcome = _outcome(trial)
    finally:
        os.write(writing, outcome.encode()[:4000])
        os._exit(0)


def _outcome(trial: Trial) -> str:
    """``survived``, ``failed`` with the id of the test, or ``broken`` with a reason."""
    for name in [
        name for name in sys.modules if name.startswith(("spsd", "scripts.programs.docs"))
    ]:
        del sys.modules[name]
    sys.dont_write_bytecode = False
    finder = _MutantFinder(trial.name, trial.text)
    sys.meta_path.insert(0, finder)
    hypothesis.settings.register_profile(
        "mutation", derandomize=True, database=None, deadline=None, max_examples=100
    )
    hypothesis.settings.load_profile("mutation")
    first = _FirstFailure()
    with tempfile.TemporaryDirectory() as scratch:
        options = ["-x", "-q", "--tb=no", "-p", "no:cacheprovider", f"--basetemp={scratch}/tests"]
        ignored = "ignore::pytest.PytestAssertRewriteWarning"  # the plugins are imported already
        code = pytest.main([*options, "-W", ignored, *trial.tests], plugins=[first])
    if not finder.used:
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


class _MutantFinder(importlib.abc.MetaPathFinder):
    """An import hook that loads the mutant in place of the module."""

    def __init__(self, name: str, text: str) -> None:
        self._name, self._text = name, text
        self.used = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        self.used = True
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
        """Compile the mutant's text, never a file or cached bytecode."""
        return self.source_to_code(self._text.encode(), self.get_filename(fullname))


def module_name(path: str) -> str:
    """The dotted name of a file of the package."""
    return path.removesuffix(".py").replace("/", ".")
