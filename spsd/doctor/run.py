"""``spsd doctor``: check an installation of spsd from outside the daemon.

It may run while the daemon runs. Nothing is created, changed or locked: the database is read by a
connection that cannot write, and the kernel's list of locks shows whether a daemon runs.
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from spsd.config import Settings
from spsd.doctor import rules
from spsd.doctor.facts import (
    accepts_connections,
    bind_problem,
    database_facts,
    directory_facts,
    image_size,
    is_executable,
    running_daemons,
    sizes_in,
    slot_contents,
    verify_image,
)
from spsd.doctor.rules import Finding, ok, warning, wrong
from spsd.errors import ConfigurationError
from spsd.failures import ApplianceError
from spsd.jobs.job import Job
from spsd.jobs.lifecycle import TERMINAL, JobState
from spsd.slots.boot_link import choice_problems
from spsd.slots.model import InstalledImage, SlotContent
from spsd.storage.faults import ADVICE, DatabaseError
from spsd.storage.files import SPARE_BYTES
from spsd.storage.layout import StateDirectory
from spsd.system.certificate import days_left, server_context
from spsd.transfer.ports import download_key


def configuration_rejected(error: ConfigurationError) -> Finding:
    """The only finding when the configuration cannot be used; nothing else can be checked."""
    return wrong("configuration", str(error), "Correct the file; docs/settings.md lists every key.")


def findings(settings: Settings, *, deep: bool) -> Iterator[Finding]:
    """Run all checks, and yield each finding at once. ``deep`` hashes every image. It blocks."""
    state = StateDirectory(Path(settings.state.directory))
    yield ok("configuration", "every key is known and every value is allowed")
    running = running_daemons(state.lock)
    yield ok("daemon", f"running, {', '.join(running)}" if running else "not running")
    yield from _address(settings, running=bool(running))
    yield from _certificate(settings, state)
    yield from _programs(settings)
    try:
        facts = directory_facts(state.root)
    except OSError as error:
        yield wrong(
            "state_directory",
            f"{state.root}: {error.strerror}",
            "Check [state] directory; the first start creates it if it may.",
        )
        return
    yield from rules.directory_findings(str(state.root), facts, spare=SPARE_BYTES)
    if not os.access(state.root, os.R_OK | os.X_OK):
        return
    slots = slot_contents(state.slots, state.staging, settings.slots.count)
    yield from _slots(state, slots, deep=deep)
    yield from _database(state, slots, running=bool(running))


def _database(
    state: StateDirectory, slots: Mapping[int, SlotContent], *, running: bool
) -> Iterator[Finding]:
    where = str(state.database)
    if not state.database.exists():
        if any(content is not None for content in slots.values()):
            yield warning(
                "database", f"{where} is missing, but slots hold images", "Restore a backup."
            )
        else:
            yield ok("database", f"{where} does not exist yet; the first start creates it")
        return
    try:
        facts = database_facts(state.database)
    except DatabaseError as error:
        message = f"{where}: {error.fault}: {error.what}"
        yield wrong("database", message, ADVICE[error.fault])
        return
    yield from rules.database_findings(
        where, facts.inspection, orphans=facts.orphans, log_bytes=facts.log_bytes
    )
    if facts.jobs is None:
        return
    yield from rules.job_findings(facts.jobs, slots, running=running)
    resumable = {download_key(job.sha256) for job in facts.jobs if _can_resume(job)}
    yield from rules.staging_findings(sizes_in(state.staging), resumable, running=running)
    newest = max((job.changed_at for job in facts.jobs), default=0)
    yield rules.clock_finding(int(time.time()), newest)


def _can_resume(job: Job) -> bool:
    return job.state not in TERMINAL or job.state is JobState.FAILED


def _slots(
    state: StateDirectory, slots: Mapping[int, SlotContent], *, deep: bool
) -> Iterator[Finding]:
    for number, content in slots.items():
        intact = None
        if deep and isinstance(content, InstalledImage):
            try:
                intact = verify_image(state.slots, state.staging, number)
            except ApplianceError as error:
                yield wrong(
                    f"slot_{number}", error.what, "Look for disk errors in the kernel's log."
                )
                continue
        size = image_size(state.slots, number)
        yield rules.slot_finding(number, content, size=size, intact=intact)
    for problem in choice_problems(state.slots):
        yield wrong("next_boot", problem, "Choose again, by an upgrade to a slot.")
    beyond = [name for name in sizes_in(state.slots) if name.isdecimal() and int(name) not in slots]
    if beyond:
        yield warning(
            "slots_beyond",
            f"slots {', '.join(sorted(beyond))} are on disk, but [slots] count is {len(slots)}",
            "Raise [slots] count to use them, or remove them.",
        )


def _address(settings: Settings, *, running: bool) -> Iterator[Finding]:
    host, port = settings.server.host, settings.server.port
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if port == 0:
        yield ok("address", f"any free port of {host}")
    elif running and accepts_connections(host, port):
        yield ok("address", f"{where} accepts connections")
    elif running:
        yield wrong(
            "address",
            f"the daemon runs, but {where} accepts no connections",
            "Look for the cause in the daemon's log.",
        )
    elif (problem := bind_problem(host, port)) is not None:
        advice = "End the program that listens there, or set another [server] port."
        yield wrong("address", f"{where}: {problem}", advice)
    else:
        yield ok("address", f"{where} is free")


def _certificate(settings: Settings, state: StateDirectory) -> Iterator[Finding]:
    server = settings.server
    if server.plain_http:
        yield ok("certificate", "not needed: [server] plain_http is true")
        return
    pair = _pair(settings, state)
    own = server.certificate is None
    if own and not pair[0].exists():
        yield ok("certificate", "none yet; the next start creates a self-signed certificate")
        return
    try:
        server_context(*pair)
        yield rules.certificate_finding(str(pair[0]), days_left(pair[0]), self_signed=own)
    except ConfigurationError as error:
        if own:
            advice = (
                "The daemon creates a new one when it starts, and within a minute while it runs. "
                "Clients that pin the old one have to pin it."
            )
            yield warning("certificate", str(error), advice)
        else:
            yield wrong(
                "certificate", str(error), "Install a certificate and the key that belongs to it."
            )


def _pair(settings: Settings, state: StateDirectory) -> Sequence[Path]:
    server = settings.server
    if server.certificate is not None and server.key is not None:
        return Path(server.certificate), Path(server.key)
    return state.tls / "certificate.pem", state.tls / "key.pem"


def _programs(settings: Settings) -> Iterator[Finding]:
    upgrade = settings.upgrade
    named = [*upgrade.test_hooks, upgrade.activate_hook, *upgrade.reboot_command[:1]]
    programs = [program for program in named if program]
    unusable = [program for program in programs if not is_executable(program)]
    for program in unusable:
        yield wrong(
            "hooks",
            f"{program} does not exist or is not executable",
            "Correct [upgrade], or make the file executable.",
        )
    if not unusable:
        yield ok("hooks", f"all {len(programs)} programs of [upgrade] are executable")
