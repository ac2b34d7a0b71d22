"""The API over a real server, real SQLite and real argon2; only the scheduler does not run."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient
from aiohttp.web import Application

from spsd.adapters.account_repository import SqliteAccounts
from spsd.adapters.database import Database, open_database
from spsd.adapters.iso_image import IsoInspector
from spsd.adapters.job_repository import SqliteJobs
from spsd.adapters.migrations import migrate
from spsd.adapters.passwords import Argon2Passwords
from spsd.adapters.slot_directory import SlotDirectory
from spsd.adapters.staging import StagingDirectory
from spsd.domain.account import Role
from spsd.services.accounts import Accounts
from spsd.services.fetching import Fetching
from spsd.services.progress import ProgressBoard
from spsd.services.reservations import Reservations
from spsd.services.slots import Slots
from spsd.services.uploads import Uploads
from spsd.web.app import build_app

PASSWORD = "correct horse"
IDLE_S = 1200


class Parked:
    """In place of a scheduler: jobs stay where a test puts them."""

    def wake(self) -> None: ...

    async def drop(self, job: object) -> None: ...

    async def discard(self, digest: object) -> None: ...


@dataclass
class Clock:
    seconds: int = 1_900_000_000

    def __call__(self) -> int:
        return self.seconds


@dataclass
class Api:
    jobs: SqliteJobs
    accounts: Accounts
    board: ProgressBoard
    clock: Clock
    database: Database
    store: SlotDirectory
    reservations: Reservations
    uploads: Uploads
    connect: Callable[[Application], Awaitable[TestClient]]
    current: int | None = None
    clients: list[TestClient] = field(default_factory=list)

    async def client(self, name: str | None = "admin") -> TestClient:
        """A client of a newly built app, logged in; a second call is a restart."""
        scheduler: object = Parked()
        fetching = Fetching(self.jobs, scheduler, self.board, now=self.clock)
        app = build_app(
            fetching=fetching,
            slots=Slots(self.store, self.reservations, current=self.current),
            uploads=self.uploads,
            accounts=self.accounts,
            secure=False,
        )
        client = await self.connect(app)
        if name is not None:
            response = await client.get("/api/authentication", headers=basic(name, PASSWORD))
            assert response.status == 200
        return client


def basic(name: str, password: str) -> dict[str, str]:
    encoded = base64.b64encode(f"{name}:{password}".encode()).decode()
    return {"Authorization": f"Basic {encoded}"}


@pytest.fixture
async def api(
    tmp_path: Path, aiohttp_client: Callable[..., Awaitable[TestClient]]
) -> AsyncIterator[Api]:
    path = tmp_path / "spsd.sqlite"
    await asyncio.to_thread(migrate, path)
    clock = Clock()
    async with open_database(path) as database:
        accounts = Accounts(SqliteAccounts(database), Argon2Passwords(), idle_s=IDLE_S, now=clock)
        await accounts.add("admin", PASSWORD, Role.ADMIN)
        await accounts.add("viewer", PASSWORD, Role.VIEWER)
        staging = tmp_path / "staging"
        staging.mkdir()
        (tmp_path / "slots").mkdir()
        store = SlotDirectory(tmp_path / "slots", staging, count=3)
        reservations = Reservations(store)
        yield Api(
            SqliteJobs(database),
            accounts,
            ProgressBoard(),
            clock,
            database,
            store,
            reservations,
            Uploads(
                StagingDirectory(staging, boot="this"),
                store,
                IsoInspector(staging, accept_any=False),
                reservations,
                now=clock,
            ),
            aiohttp_client,
        )
