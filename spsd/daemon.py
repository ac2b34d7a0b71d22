"""The composition root: opens everything, in one stack, and nothing else does.

What is opened last is closed first: on a polite stop no request is taken any more, running jobs
are put back with their bytes kept, and the database is closed.
"""

import asyncio
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from spsd.adapters.account_repository import SqliteAccounts
from spsd.adapters.address_policy import AddressPolicy
from spsd.adapters.boot import boot_id, booted_slot
from spsd.adapters.boot_choice import open_boot_choice
from spsd.adapters.database import Database, open_database
from spsd.adapters.hooks import HookRunner
from spsd.adapters.host import Machine
from spsd.adapters.http_origin import Limits, Trust, open_origin
from spsd.adapters.iso_image import IsoInspector
from spsd.adapters.job_repository import SqliteJobs
from spsd.adapters.migrations import migrate
from spsd.adapters.passwords import Argon2Passwords
from spsd.adapters.reboot import RebootCommand
from spsd.adapters.slot_directory import SlotDirectory
from spsd.adapters.slot_volume import SlotVolume
from spsd.adapters.staging import StagingDirectory
from spsd.adapters.state_directory import StateDirectory
from spsd.adapters.systemd import Notifier
from spsd.config import Settings, fingerprint_of
from spsd.domain.retry import RetryPolicy
from spsd.listening import listening, server_tls
from spsd.services.accounts import Accounts
from spsd.services.download import Download
from spsd.services.fetching import Fetching
from spsd.services.integrity import CHECK_EVERY_S, Integrity
from spsd.services.pipeline import Pipeline
from spsd.services.progress import ProgressBoard
from spsd.services.recovery import recover
from spsd.services.reservations import Reservations
from spsd.services.scheduler import Scheduler
from spsd.services.slots import Slots
from spsd.services.upgrade import Upgrade
from spsd.services.uploads import Uploads
from spsd.web.app import Services, build_app

_log = logging.getLogger(__name__)


def now() -> int:
    """Whole seconds since the epoch."""
    return int(time.time())


async def serve(settings: Settings) -> None:
    """Run the daemon until SIGTERM or SIGINT; returns after a polite stop.

    Raises:
        ConfigurationError, StateError: it cannot start.
    """
    notifier = Notifier.from_environment(os.environ)
    state = StateDirectory(Path(settings.state.directory))
    async with AsyncExitStack() as stack:
        stopping = stack.enter_context(_stop_signals())
        await asyncio.to_thread(state.prepare)
        stack.enter_context(state.locked())
        await asyncio.to_thread(migrate, state.database)
        database = await stack.enter_async_context(open_database(state.database))
        pipeline = await _pipeline(stack, settings, state, database)
        await recover(
            pipeline.jobs,
            pipeline.staging,
            pipeline.slots,
            budget=settings.fetch.attempts,
            now=now,
        )
        choice = await open_boot_choice(
            state.slots,
            boot_id=await asyncio.to_thread(boot_id),
            named=await asyncio.to_thread(booted_slot),
        )
        reservations = Reservations(pipeline.slots)
        slots = Slots(pipeline.slots, reservations, choice)
        integrity = Integrity(
            pipeline.slots,
            current=lambda: slots.current,
            clock=time.monotonic,
            every_s=CHECK_EVERY_S,
        )
        reboot = RebootCommand(settings.upgrade.reboot_command)
        upgrade = _upgrade(settings, state, pipeline, slots, reboot)
        scheduler = Scheduler(
            pipeline, reservations, concurrent=settings.fetch.concurrent, tell=notifier.status
        )
        app = build_app(
            Services(
                accounts=_accounts(settings, database),
                fetching=Fetching(pipeline.jobs, scheduler, pipeline.board, now=now),
                host=await asyncio.to_thread(Machine, state.root),
                integrity=integrity,
                slots=slots,
                upgrade=upgrade,
                uploads=Uploads(
                    pipeline.staging, pipeline.slots, pipeline.inspector, reservations, now=now
                ),
            ),
            secure=not settings.server.plain_http,
            config_hash=fingerprint_of(settings),
        )
        context = await asyncio.to_thread(server_tls, settings, state)
        async with asyncio.TaskGroup() as group:
            background = [
                group.create_task(scheduler.run(), name="scheduler"),
                group.create_task(notifier.watch(), name="watchdog"),
                group.create_task(integrity.run(), name="integrity"),
                group.create_task(reboot.run(), name="reboot"),
                group.create_task(upgrade.resume(), name="resume of an upgrade"),
            ]
            async with listening(app, settings, context) as url:
                print(f"spsd ready on {url}", flush=True)  # noqa: T201 - the promised line
                notifier.ready(f"ready on {url}")
                await stopping.wait()
                _log.info("stopping")
                notifier.stopping()
            for task in background:
                task.cancel()


@asynccontextmanager
async def open_accounts(settings: Settings) -> AsyncIterator[Accounts]:
    """The accounts alone, for the command line; a running daemon does not mind.

    Raises:
        StateError: the database cannot be used.
    """
    state = StateDirectory(Path(settings.state.directory))
    await asyncio.to_thread(state.prepare)
    await asyncio.to_thread(migrate, state.database)
    async with open_database(state.database) as database:
        yield _accounts(settings, database)


def _accounts(settings: Settings, database: Database) -> Accounts:
    return Accounts(
        SqliteAccounts(database),
        Argon2Passwords(),
        idle_s=settings.server.session_idle_minutes * 60,
        now=now,
    )


async def _pipeline(
    stack: AsyncExitStack, settings: Settings, state: StateDirectory, database: Database
) -> Pipeline:
    fetch = settings.fetch
    limits = Limits(
        connect_timeout_s=fetch.connect_timeout_s,
        minimum_bytes_per_s=fetch.minimum_bytes_per_s,
        stall_window_s=fetch.stall_window_s,
        rate_limit_bytes_per_s=fetch.rate_limit_bytes_per_s,
    )
    ca_file = Path(fetch.ca_file) if fetch.ca_file is not None else None
    trust = await asyncio.to_thread(Trust.of, fetch.tls, ca_file)
    origin = await stack.enter_async_context(open_origin(AddressPolicy(fetch.allow), trust, limits))
    staging = StagingDirectory(state.staging, boot=await asyncio.to_thread(boot_id))
    return Pipeline(
        jobs=SqliteJobs(database),
        staging=staging,
        slots=SlotDirectory(state.slots, state.staging, count=settings.slots.count),
        inspector=IsoInspector(state.staging, accept_any=settings.slots.accept == "any"),
        download=Download(origin, staging, now=now),
        board=ProgressBoard(),
        retry=RetryPolicy(
            budget=fetch.attempts,
            initial_s=fetch.backoff_initial_s,
            limit_s=fetch.backoff_limit_s,
            stall_floor=int(fetch.minimum_bytes_per_s * fetch.stall_window_s),
            cut_floor=int(fetch.minimum_bytes_per_s * fetch.backoff_initial_s),
        ),
        now=now,
    )


def _upgrade(
    settings: Settings,
    state: StateDirectory,
    pipeline: Pipeline,
    slots: Slots,
    reboot: RebootCommand,
) -> Upgrade:
    wanted = settings.upgrade
    return Upgrade(
        slots=slots,
        store=pipeline.slots,
        inspector=SlotVolume(state.slots, accept_any=settings.slots.accept == "any"),
        room=pipeline.staging,
        hooks=HookRunner(state.slots, limit_s=wanted.hook_timeout_s),
        reboot=reboot,
        test_hooks=wanted.test_hooks,
        activate_hook=wanted.activate_hook,
    )


@contextmanager
def _stop_signals() -> Iterator[asyncio.Event]:
    """An event that SIGTERM and SIGINT set, for as long as the context lasts."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    try:
        yield stopping
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
