from pathlib import Path

import pytest

from testbed.fleet_site import state_with_user


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an appliance begins with: one user, whose password is hashed once for all of them."""
    return state_with_user(tmp_path_factory.mktemp("state"))
