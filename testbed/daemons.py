"""Settings, database and certificate for daemons in the test's own event loop.

Such a daemon is the whole object graph of spsd/daemon.py without a process of its own. A test that
needs a process (a kill, a signal, systemd, the command line) uses testbed/driver.py.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher

from spsd.accounts.model import Account, Role
from spsd.accounts.sqlite import SqliteAccounts
from spsd.config import (
    FetchSettings,
    MetricsSettings,
    ServerSettings,
    Settings,
    SlotSettings,
    StateSettings,
    UpgradeSettings,
)
from spsd.storage.database import open_database
from spsd.storage.migrations import migrate
from spsd.system.certificate import ensure_self_signed
from spsd.system.host import Appliance

APPLIANCE = Appliance(boot_id="boot-1", booted_slot=None, host_name="appliance")
PASSWORD = "correct horse"
USERS = {"admin": Role.ADMIN, "operator": Role.ADMIN, "viewer": Role.VIEWER}
Table = Mapping[str, Any]


def settings(
    root: Path,
    *,
    server: Table = {},  # noqa: B006 - a Mapping, which is never changed
    slots: Table = {},  # noqa: B006
    fetch: Table = {},  # noqa: B006
    upgrade: Table = {},  # noqa: B006
    metrics: Table = {},  # noqa: B006
) -> Settings:
    """Settings of a daemon on loopback whose state directory is ``root``.

    They are constructed, not read from a file: a test may need values that the configuration does
    not accept, such as zero concurrent jobs.
    """
    return Settings(
        server=ServerSettings(**{"host": "127.0.0.1", "port": 0, "plain_http": True} | server),
        state=StateSettings(directory=str(root)),
        slots=SlotSettings(**slots),
        fetch=FetchSettings(
            **{"allow": ("127.0.0.0/8",), "proxy": "", "ca_file": str(authority())} | fetch
        ),
        upgrade=UpgradeSettings(**upgrade),
        metrics=MetricsSettings(**metrics),
    )


async def prepare(root: Path) -> None:
    """Put a migrated database with :data:`USERS` into the state directory, if it has none."""
    await asyncio.to_thread(_copy_database, root)


def _copy_database(root: Path) -> None:
    root.mkdir(exist_ok=True)
    if not (root / "spsd.sqlite").exists():
        shutil.copy(_database(), root / "spsd.sqlite")


@cache
def _shared_directory() -> Path:
    return Path(tempfile.mkdtemp(prefix="spsd-tests-"))


def remove_shared_files() -> None:
    """Remove the files that all tests of this process share; called after the last test."""
    if _shared_directory.cache_info().currsize:
        shutil.rmtree(_shared_directory())
        for cached in (_shared_directory, authority, _database):
            cached.cache_clear()


@cache
def authority() -> Path:
    """A certificate file that daemons trust instead of the system's authorities.

    To read the system's authorities takes as long as the rest of a daemon's start.
    """
    with ThreadPoolExecutor(1) as pool:
        pair = pool.submit(ensure_self_signed, _shared_directory(), hostname="authority.example")
    certificate, _ = pair.result()
    return certificate


@cache
def _database() -> Path:
    """A migrated database with :data:`USERS`, made once in a process.

    Its password hashes are weak: a hash of the real strength takes a hundred times as long.
    """
    path = _shared_directory() / "spsd.sqlite"
    migrate(path)
    asyncio.run(_add_users(path))
    return path


async def _add_users(path: Path) -> None:
    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    async with open_database(path) as database:
        accounts = SqliteAccounts(database)
        for name, role in USERS.items():
            await accounts.add(Account(name, role, hasher.hash(PASSWORD)), now=0)
