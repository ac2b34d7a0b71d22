"""Fixtures of the tests of the Ansible collection and of fleets."""

from pathlib import Path

import pytest

from testbed.fleet_site import state_with_user


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The initial state of every appliance: one user, whose password is hashed only once."""
    return state_with_user(tmp_path_factory.mktemp("state"))
