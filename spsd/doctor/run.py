"""``spsd doctor``: what is wrong with an appliance's spsd, looked at from outside.

It may be asked while the daemon runs. Nothing is made, changed or locked: the database is read by
a connection that cannot write, and whether a daemon runs is read from the kernel's list of locks.
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from spsd.config import Settings
from spsd.doctor import rules
from spsd.doctor.facts import (
    daemons_of,
    database_facts,
    directory_facts,
    hashed_again,
    image_size,
    is_executable,
    listens,
    sizes_in,
    slot_contents,
    why_not_bindable,
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


def refused(error: ConfigurationError) -> Finding:
    """The finding about a configuration that cannot be used; nothing else can be looked at."""
    return wrong("configuration", str(error), "Mend the file; docs/settings.md has every key.")


def findings(settings: Settings, *, deep: bool) -> Iterator[Finding]:
    """One after the other, as they are found; ``deep`` hashes every image again. It blocks."""
    state = StateDirectory(Path(settings.state.directory))
    yield ok("configuration", "every key is known and in bounds")
    running = daemons_of(state.lock)
    yield ok("daemon", f"running, {', '.join(running)}" if running else "not running")
    yield from _address(settings, running=bool(running))
    yield from _certificate(settings, state)
    yield from _programs(settings)
    try:
        found = directory_facts(state.root)
    except OSError as error:
        yield wrong(
            "state_directory",
            f"{state.root}: {error.strerror}",
            "The first start makes it where it may; check [state] directory.",
        )
        return
    yield from rules.of_directory(str(state.root), found, spare=SPARE_BYTES)
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
                "database", f"{where} is not there, and slots are full", "Restore a backup."
            )
        else:
            yield ok("database", f"{where} is not there yet; the first start makes it")
        return
    try:
        facts = database_facts(state.database)
    except DatabaseError as error:
        message = f"{where}: {error.fault}: {error.what}"
        yield wrong("database", message, ADVICE[error.fault])
        return
    yield from rules.of_database(
        where, facts.found, orphans=facts.orphans, log_bytes=facts.log_bytes
    )
    if facts.jobs is None:
        return
    yield from rules.of_jobs(facts.jobs, slots, running=running)
    wanted = {download_key(job.sha256) for job in facts.jobs if _goes_on(job)}
    yield from rules.of_staging(sizes_in(state.staging), wanted, running=running)
    newest = max((job.changed_at for job in facts.jobs), default=0)
    yield rules.of_clock(int(time.time()), newest)


def _goes_on(job: Job) -> bool:
    return job.state not in TERMINAL or job.state is JobState.FAILED


def _slots(
    state: StateDirectory, slots: Mapping[int, SlotContent], *, deep: bool
) -> Iterator[Finding]:
    for number, content in slots.items():
        intact = None
        if deep and isinstance(content, InstalledImage):
            try:
                intact = hashed_again(state.slots, state.staging, number)
            except ApplianceError as error:
                yield wrong(f"slot_{number}", error.what, "See the kernel's log.")
                continue
        size = image_size(state.slots, number)
        yield rules.of_slot(number, content, size=size, intact=intact)
    for problem in choice_problems(state.slots):
        yield wrong("next_boot", problem, "Choose again: upgrade to a slot.")
    beyond = [name for name in sizes_in(state.slots) if name.isdecimal() and int(name) not in slots]
    if beyond:
        yield warning(
            "slots_beyond",
            f"slots {', '.join(sorted(beyond))} are on disk, and [slots] count is {len(slots)}",
            "Raise the count to see them, or remove them.",
        )


def _address(settings: Settings, *, running: bool) -> Iterator[Finding]:
    host, port = settings.server.host, settings.server.port
    where = f"{host}:{port}"
    if port == 0:
        yield ok("address", f"any free port of {host}")
    elif running and listens(host, port):
        yield ok("address", f"somebody answers on {where}")
    elif running:
        yield wrong("address", f"nobody answers on {where}", "See the daemon's log.")
    elif (why := why_not_bindable(host, port)) is not None:
        yield wrong("address", f"{where}: {why}", "End what listens there, or take another port.")
    else:
        yield ok("address", f"{where} is free")


def _certificate(settings: Settings, state: StateDirectory) -> Iterator[Finding]:
    server = settings.server
    if server.plain_http:
        yield ok("certificate", "none is needed: plain_http is true")
        return
    pair = _pair(settings, state)
    own = server.certificate is None
    if own and not pair[0].exists():
        yield ok("certificate", "none yet; the next start makes a self-signed pair")
        return
    try:
        server_context(*pair)
        yield rules.of_certificate(str(pair[0]), days_left(pair[0]))
    except ConfigurationError as error:
        if own:
            advice = "The next start makes a new pair; clients that pin it must learn it."
            yield warning("certificate", str(error), advice)
        else:
            yield wrong("certificate", str(error), "Put a pair there that fits.")


def _pair(settings: Settings, state: StateDirectory) -> Sequence[Path]:
    server = settings.server
    if server.certificate is not None and server.key is not None:
        return Path(server.certificate), Path(server.key)
    return state.tls / "certificate.pem", state.tls / "key.pem"


def _programs(settings: Settings) -> Iterator[Finding]:
    upgrade = settings.upgrade
    named = [*upgrade.test_hooks, upgrade.activate_hook, *upgrade.reboot_command[:1]]
    programs = [program for program in named if program]
    lacking = [program for program in programs if not is_executable(program)]
    for program in lacking:
        yield wrong("hooks", f"{program} is not there or not executable", "Check [upgrade].")
    if not lacking:
        yield ok("hooks", f"{len(programs)} programs of [upgrade] can be run")
