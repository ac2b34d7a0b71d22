"""Daemons in the test's own loop: the whole graph of spsd/daemon.py, without a process of its own.

What needs a process (a kill, a signal, systemd, the command line) takes testbed/driver.py.
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
    server: Table = {},  # noqa: B006 - a Mapping, which nobody changes
    slots: Table = {},  # noqa: B006
    fetch: Table = {},  # noqa: B006
    upgrade: Table = {},  # noqa: B006
    metrics: Table = {},  # noqa: B006
) -> Settings:
    """Of a daemon on loopback whose state directory is ``root``.

    Made by hand and not read from a file: a test may want what no operator may ask for, such as
    no job at a time.
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
def _place() -> Path:
    return Path(tempfile.mkdtemp(prefix="spsd-tests-"))


def forget() -> None:
    """Remove what was made for all tests of this process, at the end of them."""
    if _place.cache_info().currsize:
        shutil.rmtree(_place())
        for made in (_place, authority, _database):
            made.cache_clear()


@cache
def authority() -> Path:
    """Trusted instead of the system's authorities, which take as long to read as all the rest."""
    with ThreadPoolExecutor(1) as off_the_loop:
        made = off_the_loop.submit(ensure_self_signed, _place(), hostname="authority.example")
    certificate, _ = made.result()
    return certificate


@cache
def _database() -> Path:
    """Made once in a test run; a hash of a real strength takes a hundred times as long."""
    path = _place() / "spsd.sqlite"
    migrate(path)
    asyncio.run(_add_users(path))
    return path


async def _add_users(path: Path) -> None:
    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    async with open_database(path) as database:
        accounts = SqliteAccounts(database)
        for name, role in USERS.items():
            await accounts.add(Account(name, role, hasher.hash(PASSWORD)), now=0)
