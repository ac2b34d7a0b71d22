"""The collection as a whole: the built archive, and the lists that must name every module."""

import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from spsd import __version__
from testbed.fleet_site import COLLECTION, Site

MODULES = sorted(path.stem for path in (COLLECTION / "plugins" / "modules").glob("*.py"))
PROGRAMS = Path(sys.executable).parent


def test_the_archive_is_built(tmp_path: Path) -> None:
    subprocess.run(
        [PROGRAMS / "ansible-galaxy", "collection", "build", COLLECTION, "--output-path", tmp_path],
        check=True,
        capture_output=True,
        env=Site(tmp_path, {}).environ,
    )
    with tarfile.open(tmp_path / f"spsd-appliance-{__version__}.tar.gz") as built:
        names = set(built.getnames())
    assert {f"plugins/modules/{name}.py" for name in MODULES} <= names
    assert {"LICENSE", "README.md", "meta/runtime.yml"} <= names
    assert {"playbooks/rolling_update.yml", "roles/install_spsd/tasks/main.yml"} <= names


def test_every_module_has_documentation(tmp_path: Path) -> None:
    done = subprocess.run(
        [PROGRAMS / "ansible-doc", "--json", *(f"spsd.appliance.{name}" for name in MODULES)],
        check=True,
        capture_output=True,
        text=True,
        env=Site(tmp_path, {}).environ,
    )
    documents = json.loads(done.stdout)
    assert sorted(documents) == [f"spsd.appliance.{name}" for name in MODULES]
    for document in documents.values():
        options = document["doc"]["options"]
        assert {"api_url", "username", "password", "ca_file", "fingerprint"} <= options.keys()
        assert document["examples"].strip()
        assert document["return"]


@pytest.mark.parametrize("name", MODULES)
def test_the_lists_name_every_module(name: str) -> None:
    runtime = yaml.safe_load((COLLECTION / "meta" / "runtime.yml").read_text())
    assert name in runtime["action_groups"]["spsd"]
    assert f"| `{name}` |" in (COLLECTION / "README.md").read_text()


def test_the_document_has_the_variables_of_the_playbook() -> None:
    playbook = (COLLECTION / "playbooks" / "rolling_update.yml").read_text()
    used = set(re.findall(r"\bfirmware_[a-z_0-9]+\b", playbook))
    text = (COLLECTION.parent / "docs/fleet.md").read_text()
    documented = set(re.findall(r"`(firmware_\w+)`", text))
    internal = {"firmware_fetched", "firmware_slots"} | set(MODULES)
    assert used - internal == documented - set(MODULES)
