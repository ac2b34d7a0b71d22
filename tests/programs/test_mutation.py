"""scripts/mutation makes and tries mutants as docs/mutation.md describes."""

import ast
import subprocess
import sys

import pytest

from scripts.programs.docs.run import ROOT
from scripts.programs.mutation.mutants import mutants
from scripts.programs.mutation.run import PATHS, mutants_of
from scripts.programs.mutation.survivors import groups, reasons
from testbed import needs

RULE = '''"""A module."""

from enum import Enum


class Colour(Enum):
    RED = 1
    BLUE = 2


ROWS = (("red", Colour.RED), ("blue", Colour.BLUE))


def is_small(size: int, limit: int | None) -> bool:
    """Whether it is."""
    if limit is None:
        raise ValueError("there is no limit here")
    return size > 0 and size < limit
'''


@pytest.fixture(scope="module")
def all_mutants():
    return mutants_of(PATHS)


def test_a_rule_is_changed_in_all_its_parts(tmp_path):
    (tmp_path / "spsd" / "rules").mkdir(parents=True)
    (tmp_path / "spsd" / "rules" / "rule.py").write_text(RULE)
    keys = [mutant.key.partition("::")[2] for mutant in mutants(tmp_path, "spsd/rules/rule.py")]
    assert keys == [
        "Colour: RED = 1 => RED = None",
        "Colour: 1 => 2",
        "Colour: BLUE = 2 => BLUE = None",
        "Colour: 2 => 3",
        'ROWS: ("red", Colour.RED) => dropped',
        'ROWS: ("blue", Colour.BLUE) => dropped',
        'ROWS: ("red", Colour.RED) <-> ("blue", Colour.BLUE) => swapped',
        'ROWS: "red" => dropped',
        "ROWS: Colour.RED => dropped",
        'ROWS: "red" <-> Colour.RED => swapped',
        'ROWS: "red" => "XXredXX"',
        "ROWS: Colour.RED => Colour.BLUE",
        'ROWS: "blue" => dropped',
        "ROWS: Colour.BLUE => dropped",
        'ROWS: "blue" <-> Colour.BLUE => swapped',
        'ROWS: "blue" => "XXblueXX"',
        "ROWS: Colour.BLUE => Colour.RED",
        "is_small: limit is None => not (limit is None)",
        "is_small: is => is not",
        'is_small: raise ValueError("there is no limit here") => pass',
        "is_small: size > 0 and size < limit => size > 0 or size < limit",
        "is_small: size > 0 and size < limit => size > 0",
        "is_small: size > 0 and size < limit => size < limit",
        "is_small: > 0 => >= 0",
        "is_small: 0 => 1",
        "is_small: < limit => <= limit",
    ]


def test_each_condition_of_the_guarded_update_is_dropped(all_mutants):
    dropped = [
        mutant.before
        for mutant in all_mutants
        if mutant.scope == "_MOVE" and "condition" in mutant.after
    ]
    assert dropped == [
        "key = :key AND",
        "AND state = :guard_state",
        "AND attempt = :guard_attempt",
        "WHERE key = :key AND state = :guard_state AND attempt = :guard_attempt",
    ]


def test_every_named_part_of_a_file_exists():
    """A name that was changed in the code would silently remove its mutants."""
    for path in PATHS:
        file, _, names = path.partition("::")
        wanted = set(names.split(",")) - {""}
        tree = ast.parse((ROOT / file).read_text()) if wanted else ast.Module([])
        known = {getattr(one, "name", None) for one in tree.body}
        known |= {one.id for one in ast.walk(tree) if isinstance(one, ast.Name)}
        assert wanted <= known, path


def test_no_two_mutants_have_the_same_key(all_mutants):
    assert len({mutant.key for mutant in all_mutants}) == len(all_mutants)


def test_every_explained_mutant_exists(all_mutants):
    known = {mutant.key for mutant in all_mutants}
    assert [key for key in reasons() if key not in known] == []
    assert len(reasons()) == sum(len(group.mutants) for group in groups())


TRY = """
from pathlib import Path
from scripts.programs.mutation.trial import Trial, run, warm_up

warm_up()
text = Path("spsd/digest.py").read_text()
hangs = text + "\\nwhile True: pass\\n"
for changed in (text, text.replace("{64}", "{63}"), hangs, "1 / 0"):
    limit_s = 3 if changed is hangs else 50
    print(run(Trial("spsd.digest", changed, ("tests/foundation/test_digest.py",), limit_s)))
"""


def test_a_trial_reports_which_mutant_survives():
    done = subprocess.run(
        [sys.executable, "-c", TRY], cwd=ROOT, capture_output=True, text=True, check=True
    )
    survivor, noticed, endless, broken = done.stdout.splitlines()
    assert survivor == "None"
    assert "tests/foundation/test_digest.py::" in noticed
    assert endless == "Noticed(by='', timed_out=True)"
    assert broken == "Noticed(by='', timed_out=False)"


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "arguments",
    [("--sample", "15"), ("--near", "--sample", "6", "spsd/jobs/sqlite.py")],
)
@needs.semaphores()
def test_a_sample_of_the_mutants_is_noticed(arguments):
    done = subprocess.run(
        [sys.executable, "-m", "scripts.programs.mutation.run", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1].endswith("all explained in docs/mutation.md")
