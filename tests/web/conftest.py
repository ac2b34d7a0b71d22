"""The API of a whole daemon in the event loop of the test; its scheduler starts no job."""

import base64
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestClient
from yarl import URL

from spsd.accounts.service import Accounts
from spsd.clock import Clock
from spsd.config import Settings
from spsd.daemon import Daemon, open_daemon
from spsd.jobs.feed import Feed
from spsd.jobs.ports import JobRepository
from spsd.jobs.progress import ProgressBoard
from spsd.limits import Limits
from spsd.slots.directory import SlotDirectory
from spsd.slots.integrity import Integrity
from spsd.slots.reservations import Reservations
from spsd.storage.database import Database
from spsd.web.app import Services
from testbed.daemons import APPLIANCE, PASSWORD, prepare, settings
from tests.web.contract import CheckedClient

IDLE_S = 1200
LIMITS = Limits(shutdown_s=0.2, linger_s=0.2)


@dataclass
class TestClock:
    """Both clocks of the daemon, in seconds; a test sets the time."""

    __test__ = False

    seconds: int = 1_900_000_000

    def __call__(self) -> int:
        return self.seconds


class Attached(BaseTestServer):
    """A running server, for aiohttp's test client."""

    def __init__(self, daemon: Daemon) -> None:
        url = URL(daemon.url)
        super().__init__(scheme=url.scheme, host=str(url.host), port=url.port)
        self._root = url
        self.app = daemon.app

    async def start_server(self, loop: object = None, **_: Any) -> None:
        pass

    async def _make_runner(self, **_: Any) -> web.BaseRunner:
        raise NotImplementedError


@dataclass
class Api:
    """A daemon in which no job runs: a test sets the states of jobs. ``root``: state directory."""

    root: Path
    stack: AsyncExitStack
    clock: TestClock = field(default_factory=TestClock)
    clients: list[TestClient] = field(default_factory=list)

    async def start(
        self, *, current: int | None = None, limits: Limits = LIMITS, **tables: dict[str, Any]
    ) -> None:
        """Start or restart the daemon; ``current`` is the booted slot."""
        await self.stop()
        no_jobs = {"slots": {"count": 3}, "fetch": {"concurrent": 0}}
        self.settings: Settings = settings(self.root, **no_jobs | tables)
        self._daemon = await self.stack.enter_async_context(
            open_daemon(
                self.settings,
                appliance=replace(APPLIANCE, booted_slot=current),
                clock=Clock(self.clock, self.clock),
                limits=limits,
            )
        )

    async def stop(self) -> None:
        """Close first the clients, then the daemon."""
        await self.stack.aclose()

    async def client(self, name: str | None = "admin") -> TestClient:
        """Another client, logged in as ``name``; None: not logged in."""
        client = CheckedClient(Attached(self._daemon))
        self.stack.push_async_callback(client.close)
        if name is not None:
            response = await client.get("/api/authentication", headers=basic(name, PASSWORD))
            assert response.status == 200
        return client

    @property
    def services(self) -> Services:
        return self._daemon.services

    @property
    def jobs(self) -> JobRepository:
        return self._daemon.ports.client_jobs

    @property
    def accounts(self) -> Accounts:
        return self._daemon.services.accounts

    @property
    def board(self) -> ProgressBoard:
        return self._daemon.adapters.board

    @property
    def feed(self) -> Feed:
        return self._daemon.adapters.feed

    @property
    def database(self) -> Database:
        return self._daemon.adapters.database

    @property
    def store(self) -> SlotDirectory:
        assert isinstance(self._daemon.ports.slots, SlotDirectory)
        return self._daemon.ports.slots

    @property
    def reservations(self) -> Reservations:
        return self._daemon.reservations

    @property
    def integrity(self) -> Integrity:
        return self._daemon.services.integrity


def basic(name: str, password: str) -> dict[str, str]:
    encoded = base64.b64encode(f"{name}:{password}".encode()).decode()
    return {"Authorization": f"Basic {encoded}"}


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    await prepare(tmp_path)
    async with AsyncExitStack() as stack:
        api = Api(tmp_path, stack)
        await api.start()
        yield api
