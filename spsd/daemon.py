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
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from pathlib import Path

from spsd.adapters.account_repository import SqliteAccounts
from spsd.adapters.boot import appliance, boot_id, booted_slot
from spsd.adapters.boot_choice import open_boot_choice
from spsd.adapters.database import Database, open_database
from spsd.adapters.download_thread import ThreadedDownload
from spsd.adapters.exposition import PrometheusText, Sources
from spsd.adapters.hooks import HookRunner
from spsd.adapters.host import Machine
from spsd.adapters.http_origin import HttpOrigin, open_origin
from spsd.adapters.iso_image import IsoInspector
from spsd.adapters.job_repository import SqliteJobs
from spsd.adapters.loop_lag import watch_lag
from spsd.adapters.loop_thread import LoopThread, open_loop_thread
from spsd.adapters.migrations import migrate
from spsd.adapters.passwords import Argon2Passwords
from spsd.adapters.reboot import RebootCommand
from spsd.adapters.slot_directory import SlotDirectory
from spsd.adapters.slot_volume import SlotVolume
from spsd.adapters.staging import StagingDirectory
from spsd.adapters.state_directory import StateDirectory
from spsd.adapters.systemd import Notifier
from spsd.config import FetchSettings, Settings, fingerprint_of, metrics_token
from spsd.domain.chunks import Splitting
from spsd.domain.spread import StartSpread
from spsd.listening import connection_limit, listening, server_tls
from spsd.reloading import Reloading, Reread, hang_ups, origin_settings, retry_policy
from spsd.services.accounts import Accounts
from spsd.services.download import Download
from spsd.services.feed import Feed
from spsd.services.fetching import Fetching
from spsd.services.integrity import CHECK_EVERY_S, Integrity
from spsd.services.job_log import JobLog
from spsd.services.meter import Meter
from spsd.services.pipeline import Pipeline
from spsd.services.ports import JobRepository
from spsd.services.progress import ProgressBoard
from spsd.services.recovery import recover
from spsd.services.reservations import Reservations
from spsd.services.scheduler import Scheduler
from spsd.services.slots import Slots
from spsd.services.upgrade import Upgrade
from spsd.services.uploads import Uploads
from spsd.services.watched_jobs import WatchedJobs
from spsd.web.app import Services, build_app
from spsd.web.connections import Connections
from spsd.web.metrics import Monitoring

_log = logging.getLogger(__name__)


def now() -> int:
    """Whole seconds since the epoch."""
    return int(time.time())


async def serve(settings: Settings, reread: Reread) -> None:
    """Run the daemon until SIGTERM or SIGINT; returns after a polite stop.

    At SIGHUP ``reread`` gives the settings anew, of which ``[fetch]`` is taken over.

    Raises:
        ConfigurationError, StateError: it cannot start.
    """
    notifier = Notifier.from_environment(os.environ)
    state = StateDirectory(Path(settings.state.directory))
    async with AsyncExitStack() as stack:
        stopping = stack.enter_context(_stop_signals())
        hang_up = stack.enter_context(hang_ups())
        await asyncio.to_thread(state.prepare)
        stack.enter_context(state.locked())
        await asyncio.to_thread(migrate, state.database)
        database = await stack.enter_async_context(open_database(state.database))
        thread = await stack.enter_async_context(open_loop_thread("spsd-download"))
        origin = await stack.enter_async_context(_origin(settings, thread))
        boot = await asyncio.to_thread(boot_id)
        staging = StagingDirectory(state.staging, boot=boot, slots=state.slots)
        splitting = Splitting(connections=settings.fetch.connections)
        downloads = ThreadedDownload(
            thread, origin, Download(origin, staging, now=now, splitting=splitting)
        )
        meter, board, feed = await _audience(database)
        witnesses = (meter, JobLog(), feed)
        jobs = WatchedJobs(SqliteJobs(database, patient=True), *witnesses)
        name = await asyncio.to_thread(appliance, state.root)
        pipeline = _pipeline(settings, state, jobs, board, staging, downloads, name)
        await recover(
            pipeline.jobs,
            pipeline.staging,
            pipeline.slots,
            budget=settings.fetch.attempts,
            now=now,
        )
        choice = await open_boot_choice(
            state.slots,
            boot_id=boot,
            named=await asyncio.to_thread(booted_slot),
        )
        passwords = await stack.enter_async_context(aclosing(Argon2Passwords()))
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

        async def apply(fetch: FetchSettings) -> None:
            wanted = await asyncio.to_thread(origin_settings, fetch, os.environ)
            await downloads.use(wanted, Splitting(connections=fetch.connections))
            scheduler.use(
                concurrent=fetch.concurrent,
                retry=retry_policy(fetch),
                spread=StartSpread(name, fetch.start_spread_s),
            )

        reloading = Reloading(settings, reread, apply, notifier=notifier)
        connections = Connections(limit=connection_limit())
        sources = Sources(
            slots=slots,
            directories={"staging": state.staging, "slots": state.slots},
            database_reads=lambda: database.reads,
            connections=lambda: len(connections),
            followers=lambda: feed.followers,
        )
        token = await asyncio.to_thread(metrics_token, settings)
        app = build_app(
            Services(
                accounts=_accounts(settings, database, passwords),
                feed=feed,
                fetching=Fetching(
                    WatchedJobs(SqliteJobs(database), *witnesses),
                    scheduler,
                    board,
                    now=now,
                ),
                host=await asyncio.to_thread(Machine, state.root),
                integrity=integrity,
                monitoring=Monitoring(meter, PrometheusText(meter, sources), token),
                slots=slots,
                upgrade=upgrade,
                uploads=Uploads(
                    pipeline.staging, pipeline.slots, pipeline.inspector, reservations, now=now
                ),
            ),
            secure=not settings.server.plain_http,
            config_hash=lambda: fingerprint_of(reloading.settings),
        )
        context = await asyncio.to_thread(server_tls, settings, state)
        async with asyncio.TaskGroup() as group:
            background = [
                group.create_task(scheduler.run(), name="scheduler"),
                group.create_task(notifier.watch(thread.turns), name="watchdog"),
                group.create_task(thread.watch(), name="loop of downloads"),
                group.create_task(integrity.run(), name="integrity"),
                group.create_task(feed.run(), name="feed"),
                group.create_task(reboot.run(), name="reboot"),
                group.create_task(upgrade.resume(), name="resume of an upgrade"),
                group.create_task(connections.watch(), name="connections"),
                group.create_task(watch_lag(thread, meter.lagged), name="lag of the loops"),
            ]
            async with listening(app, settings, context, connections) as url:
                print(f"spsd ready on {url}", flush=True)  # noqa: T201 - the promised line
                notifier.ready(f"ready on {url}")
                background.append(group.create_task(reloading.run(hang_up), name="reload"))
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
    async with (
        aclosing(Argon2Passwords()) as passwords,
        open_database(state.database) as database,
    ):
        yield _accounts(settings, database, passwords)


def _accounts(settings: Settings, database: Database, passwords: Argon2Passwords) -> Accounts:
    return Accounts(
        SqliteAccounts(database),
        passwords,
        idle_s=settings.server.session_idle_minutes * 60,
        now=now,
    )


@asynccontextmanager
async def _origin(settings: Settings, thread: LoopThread) -> AsyncIterator[HttpOrigin]:
    wanted = await asyncio.to_thread(origin_settings, settings.fetch, os.environ)
    opening = open_origin(wanted.policy, wanted.trust, wanted.limits, wanted.proxies)
    async with thread.entered(opening) as origin:
        yield origin


async def _audience(database: Database) -> tuple[Meter, ProgressBoard, Feed]:
    """Who hears of every move and of every progress."""
    meter = Meter()
    meter.begin(await SqliteJobs(database).tally())
    board = ProgressBoard()
    feed = Feed(SqliteJobs(database), board)
    board.watched_by(meter)
    board.watched_by(feed)
    return meter, board, feed


def _pipeline(
    settings: Settings,
    state: StateDirectory,
    jobs: JobRepository,
    board: ProgressBoard,
    staging: StagingDirectory,
    downloads: ThreadedDownload,
    name: str,
) -> Pipeline:
    return Pipeline(
        jobs=jobs,
        staging=staging,
        slots=SlotDirectory(state.slots, state.staging, count=settings.slots.count),
        inspector=IsoInspector(state.staging, accept_any=settings.slots.accept == "any"),
        download=downloads,
        board=board,
        retry=retry_policy(settings.fetch),
        spread=StartSpread(name, settings.fetch.start_spread_s),
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
