"""The composition of the daemon: :func:`open_daemon` is the only place that connects its parts.

Everything is opened on one stack, and closed in reverse order: at a stop no new requests are
accepted, running jobs are put back into the queue with their partial downloads, and the database is
closed.
"""

import asyncio
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from spsd.accounts.argon2 import Argon2Passwords
from spsd.accounts.model import SessionLimits
from spsd.accounts.service import Accounts
from spsd.accounts.sqlite import SqliteAccounts
from spsd.adapters import Adapters, Ports, open_adapters
from spsd.clock import Clock
from spsd.config import FetchSettings, Settings, fingerprint_of, metrics_token
from spsd.jobs.progress import ProgressBoard
from spsd.jobs.recovery import recover
from spsd.jobs.run import RunResources
from spsd.jobs.scheduler import Scheduler
from spsd.jobs.service import Downloads
from spsd.jobs.start_spread import StartSpread
from spsd.limits import LIMITS, Limits
from spsd.metrics import Exposition, MetricSources
from spsd.reload import (
    Apply,
    Configuration,
    Reloading,
    Reread,
    origin_settings,
    reload_requests,
    retry_policy,
)
from spsd.server import (
    connection_limit,
    listening,
    raise_descriptor_limit,
    server_certificate,
)
from spsd.slots.integrity import Integrity
from spsd.slots.reservations import Reservations
from spsd.slots.service import Slots
from spsd.slots.upgrade import Upgrade
from spsd.slots.upload import Uploads
from spsd.storage.database import Database, open_database
from spsd.storage.layout import StateDirectory
from spsd.storage.migrations import migrate_unless_running
from spsd.system.host import Appliance, LinuxHost
from spsd.system.loop_thread import measure_lag
from spsd.system.served_certificate import ServedCertificate
from spsd.system.systemd import Notifier
from spsd.transfer.rules.chunks import Splitting
from spsd.web.api.metrics import Monitoring
from spsd.web.app import Services, build_app
from spsd.web.connections.connection import Connections

_log = logging.getLogger(__name__)

_Task = Callable[[], Coroutine[Any, Any, None]]

SYSTEM_CLOCK: Final = Clock(lambda: int(time.time()), time.monotonic)


@dataclass(frozen=True, slots=True)
class _Work:
    """The parts that run jobs."""

    resources: RunResources
    reservations: Reservations
    scheduler: Scheduler


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """A running daemon, in the event loop of the caller; it serves requests at ``url``."""

    url: str
    app: web.Application
    configuration: Configuration
    ports: Ports
    services: Services
    resources: RunResources
    scheduler: Scheduler
    reservations: Reservations
    adapters: Adapters


async def serve(
    settings: Settings,
    reread: Reread,
    *,
    appliance: Appliance,
    clock: Clock = SYSTEM_CLOCK,
    limits: Limits = LIMITS,
) -> None:
    """Run the daemon until SIGTERM or SIGINT, under systemd or not; it returns after the stop.

    At SIGHUP ``reread`` reads the settings again, and their ``[fetch]`` is put into effect. So are
    the certificate's files.

    Raises:
        ConfigurationError, StateError: the daemon cannot start.
    """
    raise_descriptor_limit()
    with (
        closing(Notifier.from_environment(os.environ)) as notifier,
        _stop_signals() as stopping,
        reload_requests() as reload_requested,
    ):
        opening = open_daemon(
            settings, appliance=appliance, clock=clock, limits=limits, report=notifier.status
        )
        async with opening as daemon, asyncio.TaskGroup() as group:
            reloading = Reloading(daemon.configuration, reread, notifier=notifier)
            print(f"spsd ready on {daemon.url}", flush=True)  # noqa: T201 - the promised line
            notifier.ready(f"ready on {daemon.url}")
            background = (
                group.create_task(
                    notifier.feed_watchdog(daemon.adapters.thread.wait_for_iteration),
                    name="watchdog",
                ),
                group.create_task(reloading.run(reload_requested), name="reload"),
            )
            await stopping.wait()
            _log.info("stopping")
            notifier.stopping()
            for task in background:
                task.cancel()


@asynccontextmanager
async def open_daemon(
    settings: Settings,
    *,
    appliance: Appliance,
    clock: Clock = SYSTEM_CLOCK,
    limits: Limits = LIMITS,
    report: Callable[[str], None] = lambda _: None,
    wrap_ports: Callable[[Ports], Ports] = lambda ports: ports,
) -> AsyncIterator[Daemon]:
    """Run a daemon in the caller's event loop until the context ends.

    It uses nothing that belongs to the process: no signal, no standard output, no systemd.
    ``report`` gets a line for the operator whenever the number of running jobs changes.
    ``wrap_ports`` may replace ports, for example by one that counts its calls in a test.
    If a background task of the daemon fails, the body is cancelled, and the error is raised when
    the context ends.

    Raises:
        ConfigurationError, StateError: the daemon cannot start.
    """
    async with AsyncExitStack() as stack:
        adapters = await open_adapters(stack, settings, appliance, clock, limits)
        ports = wrap_ports(adapters.ports)
        await recover(
            ports.jobs,
            ports.staging,
            ports.slots,
            budget=settings.fetch.attempts,
            now=clock.now,
        )
        identity = await asyncio.to_thread(appliance.identity, adapters.state.root)
        work = _work(settings, limits, ports, adapters.board, identity, clock, report)
        slots = Slots(ports.slots, work.reservations, ports.choice)
        upgrade = _upgrade(settings, ports, slots)
        integrity = Integrity(
            ports.slots,
            current=lambda: slots.current,
            clock=clock.monotonic,
            every_s=limits.integrity_every_s,
        )
        connections = Connections(limit=connection_limit(), look_every_s=limits.connections_every_s)
        sources = MetricSources(
            slots=slots,
            directories={"staging": adapters.state.staging, "slots": adapters.state.slots},
            database_reads=lambda: adapters.database.reads,
            connections=lambda: len(connections),
            followers=lambda: adapters.feed.followers,
        )
        exposition = await asyncio.to_thread(Exposition, adapters.metrics, sources)
        token = await asyncio.to_thread(metrics_token, settings)
        passwords = await stack.enter_async_context(aclosing(_passwords(limits)))
        services = Services(
            accounts=_accounts(settings, adapters.database, passwords, clock),
            feed=adapters.feed,
            downloads=Downloads(ports.client_jobs, work.scheduler, adapters.board, now=clock.now),
            host=await asyncio.to_thread(LinuxHost, adapters.state.root),
            integrity=integrity,
            monitoring=Monitoring(adapters.metrics, exposition, token),
            slots=slots,
            upgrade=upgrade,
            uploads=Uploads(
                ports.staging, ports.slots, ports.staged_images, work.reservations, now=clock.now
            ),
        )
        certificate = await asyncio.to_thread(
            server_certificate, settings, adapters.state, appliance=appliance, now=clock.now
        )
        configuration = Configuration(
            settings, _reload(limits, adapters, work, identity, certificate)
        )
        app = build_app(
            services,
            secure=not settings.server.plain_http,
            config_hash=lambda: fingerprint_of(configuration.settings),
            trusted_proxies=settings.server.trusted_proxies,
            limits=limits.web,
        )
        tasks: dict[str, _Task] = {
            "scheduler": work.scheduler.run,
            "loop of downloads": adapters.thread.raise_when_ended,
            "integrity": integrity.run,
            "feed": adapters.feed.run,
            "reboot": adapters.reboot.run,
            "resume of an upgrade": upgrade.resume,
            "connections": connections.watch,
            "lag of the loops": partial(
                measure_lag,
                adapters.thread,
                adapters.metrics.observe_lag,
                every_s=limits.lag_every_s,
            ),
        }
        if certificate is not None and settings.server.certificate is None:
            tasks["certificate"] = partial(certificate.watch, limits.certificate_every_s)
        await stack.enter_async_context(_in_background(tasks))
        url = await stack.enter_async_context(
            listening(
                app,
                settings,
                None if certificate is None else certificate.context,
                connections,
                shutdown_s=limits.shutdown_s,
                linger_s=limits.linger_s,
            )
        )
        yield Daemon(
            url=url,
            app=app,
            configuration=configuration,
            ports=ports,
            services=services,
            resources=work.resources,
            scheduler=work.scheduler,
            reservations=work.reservations,
            adapters=adapters,
        )


def _work(
    settings: Settings,
    limits: Limits,
    ports: Ports,
    board: ProgressBoard,
    identity: str,
    clock: Clock,
    report: Callable[[str], None],
) -> _Work:
    resources = RunResources(
        jobs=ports.jobs,
        staging=ports.staging,
        slots=ports.slots,
        inspector=ports.staged_images,
        attempts=ports.attempts,
        board=board,
        retry=retry_policy(settings.fetch, least_progress=limits.least_progress_bytes),
        spread=StartSpread(identity, settings.fetch.start_spread_s),
        now=clock.now,
    )
    reservations = Reservations(ports.slots)
    concurrent = settings.fetch.concurrent
    scheduler = Scheduler(resources, reservations, concurrent=concurrent, report_status=report)
    return _Work(resources, reservations, scheduler)


def _reload(
    limits: Limits,
    adapters: Adapters,
    work: _Work,
    identity: str,
    certificate: ServedCertificate | None,
) -> Apply:
    """The function that puts another ``[fetch]`` into effect, and the certificate on disk."""

    async def apply(fetch: FetchSettings) -> None:
        pair = None if certificate is None else await certificate.read()
        origin = await asyncio.to_thread(origin_settings, fetch, os.environ)
        if certificate is not None and pair is not None:
            certificate.present(pair)
        await adapters.attempts.change_settings(origin, Splitting(connections=fetch.connections))
        work.scheduler.reconfigure(
            concurrent=fetch.concurrent,
            retry=retry_policy(fetch, least_progress=limits.least_progress_bytes),
            spread=StartSpread(identity, fetch.start_spread_s),
        )

    return apply


def _upgrade(settings: Settings, ports: Ports, slots: Slots) -> Upgrade:
    return Upgrade(
        slots=slots,
        store=ports.slots,
        inspector=ports.installed_images,
        room=ports.room,
        hooks=ports.hooks,
        reboot=ports.reboot,
        test_hooks=settings.upgrade.test_hooks,
        activate_hook=settings.upgrade.activate_hook,
    )


@asynccontextmanager
async def _in_background(
    tasks: Mapping[str, _Task],
) -> AsyncIterator[None]:
    """Run these tasks until the context ends, which cancels them.

    A task that fails ends the others and cancels the body; its error is raised in a group. An error
    of the body is raised as it is.
    """
    raised: Exception | None = None
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(begin(), name=name) for name, begin in tasks.items()]
        try:
            yield
        except Exception as error:  # noqa: BLE001 - raised below, since the group would wrap it
            raised = error
        for task in running:
            task.cancel()
    if raised is not None:
        raise raised


@asynccontextmanager
async def open_accounts(
    settings: Settings, *, clock: Clock = SYSTEM_CLOCK, limits: Limits = LIMITS
) -> AsyncIterator[Accounts]:
    """Open the accounts only, for the command line. A daemon may run at the same time.

    Raises:
        StateError: the database cannot be used, or it would have to be migrated while a daemon
            runs.
    """
    state = StateDirectory(Path(settings.state.directory))
    await asyncio.to_thread(state.prepare)
    await asyncio.to_thread(migrate_unless_running, state, busy_s=limits.busy_s)
    async with (
        aclosing(_passwords(limits)) as passwords,
        open_database(state.database) as database,
    ):
        yield _accounts(settings, database, passwords, clock)


def _accounts(
    settings: Settings, database: Database, passwords: Argon2Passwords, clock: Clock
) -> Accounts:
    limits = SessionLimits(
        idle_s=settings.server.session_idle_minutes * 60,
        longest_s=settings.server.session_hours * 3600,
    )
    return Accounts(SqliteAccounts(database), passwords, limits=limits, now=clock.now)


def _passwords(limits: Limits) -> Argon2Passwords:
    return Argon2Passwords(
        time_cost=limits.password_time_cost, memory_kib=limits.password_memory_kib
    )


@contextmanager
def _stop_signals() -> Iterator[asyncio.Event]:
    """An event that SIGTERM and SIGINT set, until the context ends."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    try:
        yield stopping
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
