"""Generated parts of the documents are up to date, and links in documents lead to files."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from scripts.programs.docs.run import PARTS, ROOT, renewed, stale
from spsd.failures import FailureCode

LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
DOCUMENTS = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")})
# A path of the repository in a document; the history names files of its time.
NAMED = re.compile(r"(?<![$\w./-])(?:spsd|tests|testbed|scripts|migrations|docs)/[\w./{},-]*[\w/}]")
WITH_PATHS = [one for one in DOCUMENTS if one.name != "CHANGELOG.md"]


def test_the_generated_parts_are_fresh() -> None:
    names = [str(path.relative_to(ROOT)) for path, _ in stale()]
    assert names == [], "run scripts/docs"


def test_a_stale_part_is_detected(tmp_path: Path) -> None:
    for name, _, _ in PARTS:
        copy = tmp_path / name
        copy.parent.mkdir(exist_ok=True)
        copy.write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
    assert stale(tmp_path) == []
    changed = tmp_path / "docs" / "failures.md"
    changed.write_text(changed.read_text(encoding="utf-8").replace("`dns`", "`nds`"))
    assert [path for path, _ in stale(tmp_path)] == [changed]


def test_a_part_without_markers_is_an_error() -> None:
    with pytest.raises(ValueError, match="there is no <!-- settings -->"):
        renewed("no markers here", "settings", "part")


def test_every_failure_code_is_explained() -> None:
    text = (ROOT / "docs" / "failures.md").read_text(encoding="utf-8")
    assert [code for code in FailureCode if f"| `{code}` |" not in text] == []


def test_every_failure_code_has_help() -> None:
    """Its meaning, what to look at, and what to do, in this order."""
    text = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    entries = re.findall(r"^### `(\w+)`\n(.*?)(?=^##|\Z)", text, re.DOTALL | re.MULTILINE)
    assert sorted(code for code, _ in entries) == sorted(FailureCode)
    form = r"\n\*\*Means:\*\* .{20,}?\n\n\*\*Look at:\*\* .{20,}?\n\n\*\*Do:\*\* .{20,}?\n\n?"
    assert [code for code, entry in entries if not re.fullmatch(form, entry, re.DOTALL)] == []


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if path.parent == ROOT / "docs"])
def test_the_readme_leads_to_every_document(document: Path) -> None:
    links = LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert f"docs/{document.name}" in links


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_to_files(document: Path) -> None:
    prose = FENCED.sub("", document.read_text(encoding="utf-8"))
    links = [link.partition("#")[0] for link in LINK.findall(prose) if "://" not in link]
    broken = [link for link in links if link and not (document.parent / link).exists()]
    assert broken == []


@pytest.mark.parametrize("document", WITH_PATHS, ids=lambda path: str(path.relative_to(ROOT)))
def test_paths_of_the_repository_exist(document: Path) -> None:
    named = NAMED.findall(document.read_text(encoding="utf-8"))
    paths = {path for one in named for path in _alternatives(one) if "NNNN" not in path}
    assert sorted(path for path in paths if not (ROOT / path).exists()) == []


def _alternatives(path: str) -> list[str]:
    """``a/{b,c}.py`` as a shell expands it."""
    before, _, rest = path.partition("{")
    inside, closed, after = rest.partition("}")
    return [f"{before}{one}{after}" for one in inside.split(",")] if closed else [path]


def test_the_tower_is_the_one_that_is_checked() -> None:
    """CONTRIBUTING draws the layers that import-linter verifies, line by line."""
    toml = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = toml["tool"]["importlinter"]["contracts"][0]["layers"]
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    drawn = re.search(r"<!-- tower -->\n\n```\nspsd/\n(.*?)```", text, re.DOTALL)
    assert drawn is not None
    lines = [re.findall(r"(\w+)(?:\.py|/)(?=\s|$)", line) for line in drawn[1].splitlines()]
    assert lines == [layer.split(" | ") for layer in layers]


def test_every_dependency_is_documented() -> None:
    toml = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    names = re.findall(r'^    "([a-z0-9-]+)>=', toml, re.MULTILINE)
    assert "aiohttp" in names
    decision = (ROOT / "docs/decisions/0001-dependencies.md").read_text(encoding="utf-8")
    cells = " ".join(re.findall(r"^\| ([^|]+) \|", decision, re.MULTILINE))
    listed = set(re.split(r"[ ,]+", cells))
    assert [name for name in names if name not in listed] == []


def test_the_command_agrees() -> None:
    done = subprocess.run(
        [ROOT / "scripts" / "docs", "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
