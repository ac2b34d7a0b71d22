"""The API over a real server, real SQLite and real argon2; only the scheduler does not run."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient
from aiohttp.web import Application

from spsd.adapters.account_repository import SqliteAccounts
from spsd.adapters.boot_choice import open_boot_choice
from spsd.adapters.database import Database, open_database
from spsd.adapters.exposition import PrometheusText, Sources
from spsd.adapters.hooks import HookRunner
from spsd.adapters.host import Machine
from spsd.adapters.iso_image import IsoInspector
from spsd.adapters.job_repository import SqliteJobs
from spsd.adapters.migrations import migrate
from spsd.adapters.passwords import Argon2Passwords
from spsd.adapters.reboot import RebootCommand
from spsd.adapters.slot_directory import SlotDirectory
from spsd.adapters.slot_volume import SlotVolume
from spsd.adapters.staging import StagingDirectory
from spsd.domain.account import Role
from spsd.services.accounts import Accounts
from spsd.services.feed import Feed
from spsd.services.fetching import Fetching
from spsd.services.integrity import Integrity
from spsd.services.meter import Meter
from spsd.services.ports import JobRepository
from spsd.services.progress import ProgressBoard
from spsd.services.reservations import Reservations
from spsd.services.slots import Slots
from spsd.services.upgrade import Upgrade
from spsd.services.uploads import Uploads
from spsd.services.watched_jobs import WatchedJobs
from spsd.web.app import Services, build_app
from spsd.web.metrics import Monitoring
from tests.web.contract import CheckedClient

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
    jobs: JobRepository
    accounts: Accounts
    board: ProgressBoard
    clock: Clock
    database: Database
    store: SlotDirectory
    root: Path
    host: Machine
    connect: Callable[[Application], Awaitable[TestClient]]
    current: int | None = None
    test_hooks: tuple[str, ...] = ()
    services: Services | None = None
    clients: list[TestClient] = field(default_factory=list)
    meter: Meter = field(default_factory=Meter)
    token: str | None = None

    def __post_init__(self) -> None:
        self.staging = StagingDirectory(self.root / "staging", boot="b")
        self.reservations = Reservations(self.store)
        self.uploads = Uploads(
            self.staging,
            self.store,
            IsoInspector(self.root / "staging", accept_any=False),
            self.reservations,
            now=self.clock,
        )
        self.feed = Feed(self.jobs, self.board)
        self.board.watched_by(self.feed)
        self.jobs = WatchedJobs(self.jobs, self.feed)
        self.integrity = Integrity(
            self.store, current=lambda: self.current, clock=self.clock, every_s=3600
        )

    def monitoring(self, slots: Slots) -> Monitoring:
        sources = Sources(
            slots=slots,
            directories={"slots": self.root / "slots", "gone": self.root / "gone"},
            database_reads=lambda: self.database.reads,
            connections=lambda: 0,
            followers=lambda: self.feed.followers,
        )
        return Monitoring(self.meter, PrometheusText(self.meter, sources), self.token)

    @asynccontextmanager
    async def checking(self) -> AsyncIterator[None]:
        """The running firmware is re-hashed meanwhile, as in the daemon."""
        task = asyncio.create_task(self.integrity.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def client(self, name: str | None = "admin") -> TestClient:
        """A client of a newly built app, logged in; a second call is a restart."""
        scheduler: object = Parked()
        fetching = Fetching(self.jobs, scheduler, self.board, now=self.clock)
        choice = await open_boot_choice(self.root / "slots", boot_id="b", named=self.current)
        slots = Slots(self.store, self.reservations, choice)
        upgrade = Upgrade(
            slots=slots,
            store=self.store,
            inspector=SlotVolume(self.root / "slots", accept_any=False),
            room=self.staging,
            hooks=HookRunner(self.root / "slots", limit_s=5),
            reboot=RebootCommand(()),
            test_hooks=self.test_hooks,
        )
        self.services = Services(
            accounts=self.accounts,
            feed=self.feed,
            fetching=fetching,
            host=self.host,
            integrity=self.integrity,
            monitoring=self.monitoring(slots),
            slots=slots,
            upgrade=upgrade,
            uploads=self.uploads,
        )
        app = build_app(self.services, secure=False, config_hash=lambda: "c" * 64)
        client = await self.connect(app)
        if name is not None:
            response = await client.get("/api/authentication", headers=basic(name, PASSWORD))
            assert response.status == 200
        return client


@asynccontextmanager
async def reading_along(api: Api) -> AsyncIterator[None]:
    """The feed tells its readers meanwhile, as in the daemon."""
    task = asyncio.create_task(api.feed.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def basic(name: str, password: str) -> dict[str, str]:
    encoded = base64.b64encode(f"{name}:{password}".encode()).decode()
    return {"Authorization": f"Basic {encoded}"}


@pytest.fixture
def aiohttp_client_cls() -> type[TestClient]:
    """Every test of the API also is one of its description."""
    return CheckedClient


@pytest.fixture
async def api(
    tmp_path: Path, aiohttp_client: Callable[..., Awaitable[TestClient]]
) -> AsyncIterator[Api]:
    path = tmp_path / "spsd.sqlite"
    await asyncio.to_thread(migrate, path)
    clock = Clock()
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(path))
        passwords = await stack.enter_async_context(aclosing(Argon2Passwords()))
        accounts = Accounts(SqliteAccounts(database), passwords, idle_s=IDLE_S, now=clock)
        await accounts.add("admin", PASSWORD, Role.ADMIN)
        await accounts.add("viewer", PASSWORD, Role.VIEWER)
        host = await asyncio.to_thread(Machine, tmp_path)
        for name in ("slots", "staging"):
            (tmp_path / name).mkdir(exist_ok=True)
        store = SlotDirectory(tmp_path / "slots", tmp_path / "staging", count=3)
        yield Api(
            SqliteJobs(database),
            accounts,
            ProgressBoard(),
            clock,
            database,
            store,
            tmp_path,
            host,
            aiohttp_client,
        )
