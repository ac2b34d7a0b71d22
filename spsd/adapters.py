"""The adapters of the daemon: state directory, database, network, and the programs that it runs.

The use cases see only the ports in :class:`Ports`.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from spsd.clock import Clock
from spsd.config import Settings
from spsd.jobs.feed import Feed
from spsd.jobs.log import JobLog
from spsd.jobs.ports import JobRepository
from spsd.jobs.progress import ProgressBoard
from spsd.jobs.sqlite import SqliteJobs
from spsd.limits import Limits
from spsd.metrics import Metrics
from spsd.reload import origin_settings
from spsd.slots.boot_link import open_boot_choice
from spsd.slots.directory import SlotDirectory
from spsd.slots.hooks import HookRunner, RebootCommand
from spsd.slots.iso9660.inspector import IsoInspector, SlotVolume
from spsd.slots.ports import BootChoice, Hooks, ImageInspector, Reboot, SlotInspector, SlotStore
from spsd.storage.database import Database, open_database
from spsd.storage.layout import InUseError, StateDirectory
from spsd.storage.migrations import migrate
from spsd.system.host import Appliance
from spsd.system.loop_thread import LoopThread, open_loop_thread
from spsd.transfer.attempt import LocalAttempts
from spsd.transfer.http.origin import HttpOrigin, open_origin
from spsd.transfer.ports import Attempts, Room, Staging
from spsd.transfer.rules.chunks import Splitting
from spsd.transfer.staging.directory import StagingDirectory
from spsd.transfer.worker import WorkerAttempts

_LOCK_WAIT_S = 1.0
_LOCK_POLL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The ports of the use cases. Both job repositories already notify the observers."""

    jobs: JobRepository
    """For running jobs: it waits a minute for another program's lock."""
    client_jobs: JobRepository
    """For requests: it waits some seconds for such a lock."""
    staging: Staging
    slots: SlotStore
    staged_images: ImageInspector
    installed_images: SlotInspector
    room: Room
    attempts: Attempts
    choice: BootChoice
    hooks: Hooks
    reboot: Reboot


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapters:
    """The opened adapters; ``ports`` is the part that the use cases see."""

    state: StateDirectory
    database: Database
    thread: LoopThread
    local_attempts: LocalAttempts
    """Makes the attempts, in the loop of ``thread``."""
    attempts: WorkerAttempts
    reboot: RebootCommand
    metrics: Metrics
    board: ProgressBoard
    feed: Feed
    ports: Ports


async def open_adapters(
    stack: AsyncExitStack,
    settings: Settings,
    appliance: Appliance,
    clock: Clock,
    limits: Limits,
) -> Adapters:
    """Open all adapters on ``stack``, which closes them in reverse order.

    Raises:
        ConfigurationError: an adapter cannot be opened with these settings.
        StateError: the state directory or the database cannot be used.
    """
    state = StateDirectory(Path(settings.state.directory))
    await asyncio.to_thread(state.prepare)
    await _lock(stack, state)
    await asyncio.to_thread(migrate, state.database, busy_s=limits.busy_s)
    database = await stack.enter_async_context(
        open_database(state.database, busy_s=limits.busy_s, lock_waits=limits.lock_waits)
    )
    thread = await stack.enter_async_context(open_loop_thread("spsd-download"))
    origin = await stack.enter_async_context(_open_origin_in(thread, settings))
    metrics, board, feed = await _make_observers(database)
    observers = (metrics, JobLog(), feed)
    staging = StagingDirectory(
        state.staging,
        boot=appliance.boot_id,
        slots=state.slots,
        sync_window=limits.sync_window_bytes,
        block=limits.block_bytes,
    )
    local_attempts = LocalAttempts(
        origin,
        staging,
        now=clock.now,
        windows=limits.windows,
        splitting=Splitting(connections=settings.fetch.connections),
    )
    attempts = WorkerAttempts(thread, origin, local_attempts)
    reboot = RebootCommand(settings.upgrade.reboot_command, delay_s=limits.reboot_delay_s)
    any_image = settings.slots.accept == "any"
    ports = Ports(
        jobs=SqliteJobs(database, waits_for_lock=True, observers=observers),
        client_jobs=SqliteJobs(database, observers=observers),
        staging=staging,
        slots=SlotDirectory(state.slots, state.staging, count=settings.slots.count),
        staged_images=IsoInspector(state.staging, accept_any=any_image),
        installed_images=SlotVolume(state.slots, accept_any=any_image),
        room=staging,
        attempts=attempts,
        choice=await open_boot_choice(
            state.slots, boot_id=appliance.boot_id, named=appliance.booted_slot
        ),
        hooks=HookRunner(state.slots, limit_s=settings.upgrade.hook_timeout_s),
        reboot=reboot,
    )
    return Adapters(
        state=state,
        database=database,
        thread=thread,
        local_attempts=local_attempts,
        attempts=attempts,
        reboot=reboot,
        metrics=metrics,
        board=board,
        feed=feed,
        ports=ports,
    )


async def _lock(stack: AsyncExitStack, state: StateDirectory) -> None:
    """Lock the state directory on ``stack``. A command that migrates the database is waited for.

    Raises:
        StateError: another daemon holds the lock.
    """
    deadline = time.monotonic() + _LOCK_WAIT_S
    while True:
        try:
            stack.enter_context(state.locked())
            return
        except InUseError:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(_LOCK_POLL_S)


async def _make_observers(
    database: Database,
) -> tuple[Metrics, ProgressBoard, Feed]:
    """The observers that are notified of every transition and of all progress."""
    metrics = Metrics()
    metrics.begin(await SqliteJobs(database).tally())
    board = ProgressBoard()
    feed = Feed(SqliteJobs(database), board)
    board.subscribe(metrics)
    board.subscribe(feed)
    return metrics, board, feed


@asynccontextmanager
async def _open_origin_in(thread: LoopThread, settings: Settings) -> AsyncIterator[HttpOrigin]:
    chosen = await asyncio.to_thread(origin_settings, settings.fetch, os.environ)
    opening = open_origin(chosen.policy, chosen.trust, chosen.limits, chosen.proxies)
    async with thread.entered(opening) as origin:
        yield origin
