"""The daemon's command line.

Whatever spsd raises on purpose becomes one line on standard error: exit code 2 where the
configuration or the call is at fault, 1 for the rest.
"""

import asyncio
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

import click

from spsd import __version__, daemon
from spsd.accounts.model import Role
from spsd.accounts.service import ADVISED_LENGTH, Accounts
from spsd.clock import Clock
from spsd.config import Settings, load
from spsd.doctor import run as doctor
from spsd.doctor.rules import Finding, all_well
from spsd.errors import AccountError, ConfigurationError, SpsdError, StateError
from spsd.limits import LIMITS, Limits
from spsd.system.host import Appliance, this_appliance
from spsd.system.logs import LogFormat, log_handler

_config = click.option(
    "--config",
    type=click.Path(readable=False, path_type=Path),  # `load` says it better
    default=Path("/etc/spsd/spsd.toml"),
    show_default=True,
    help="The configuration file.",
)
_password_stdin = click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input."
)


def main(
    *,
    appliance: Callable[[], Appliance] = this_appliance,
    clock: Clock = daemon.SYSTEM_CLOCK,
    limits: Limits = LIMITS,
) -> None:
    """Run the command line of this process; ends with ``SystemExit``.

    A launcher may hand in other facts than this machine's, for the daemon that serves.
    """
    # Database, images and keys are the daemon's own; nobody else's, whoever started it.
    os.umask(0o077)
    try:
        cli(prog_name="spsd", obj=_Injected(appliance, clock, limits))
    except SpsdError as error:
        _fail(error)
    except BaseExceptionGroup as group:
        # A task group wraps whatever ends the daemon, alone or not.
        ours, others = group.split(SpsdError)
        if ours is None or others is not None:
            raise
        _fail(_first(ours))


@dataclass(frozen=True, slots=True)
class _Injected:
    """What ``serve`` takes of the one who called :func:`main`."""

    appliance: Callable[[], Appliance]
    clock: Clock
    limits: Limits


def _fail(error: BaseException) -> NoReturn:
    click.echo(f"spsd: {error}", err=True)
    sys.exit(2 if isinstance(error, ConfigurationError) else 1)


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


@click.group()
@click.version_option(__version__, prog_name="spsd")
def cli() -> None:
    """Fetch firmware images, prove them, and install them into slots."""


@cli.command()
@click.option(
    "--log-format",
    type=click.Choice([one.value for one in LogFormat]),
    help="How the log looks, whatever [log] format says.",
)
@_config
@click.pass_obj
def serve(injected: _Injected, config: Path, log_format: str | None) -> None:
    """Run the daemon until SIGTERM; SIGHUP reads [fetch] of the configuration again."""
    settings = load(config)
    wanted = LogFormat(log_format or settings.log.format)
    logging.basicConfig(level=logging.INFO, handlers=[log_handler(os.environ, sys.stderr, wanted)])
    logging.getLogger("transitions").setLevel(logging.WARNING)
    serving = daemon.serve(
        settings,
        lambda: load(config),
        appliance=injected.appliance(),
        clock=injected.clock,
        limits=injected.limits,
    )
    asyncio.run(serving)


@cli.command("check-config")
@_config
def check_config(config: Path) -> None:
    """Say whether the configuration file is good."""
    load(config)
    click.echo(f"{config}: ok")


@cli.command("doctor")
@click.option("--deep", is_flag=True, help="Hash every image again.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of lines.")
@_config
def run_doctor(config: Path, *, deep: bool, as_json: bool) -> None:
    """Say what is wrong, if anything is; the daemon may run or not, and nothing is changed.

    Exit code 0: nothing is wrong, 1: something is, 2: the call is at fault.
    """
    found = []
    for finding in _findings(config, deep=deep):
        found.append(finding)
        if not as_json:
            click.echo(finding.line())
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in found], indent=2))
    sys.exit(0 if all_well(found) else 1)


def _findings(config: Path, *, deep: bool) -> Iterator[Finding]:
    try:
        settings = load(config)
    except ConfigurationError as error:
        yield doctor.refused(error)
        return
    _become_owner(Path(settings.state.directory))
    yield from doctor.findings(settings, deep=deep)


@cli.group()
def user() -> None:
    """Accounts of the REST API; a running daemon sees changes at once."""


@user.command("add")
@click.argument("name")
@_password_stdin
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    default=Role.ADMIN.value,
    show_default=True,
    help="A viewer reads, an admin also writes.",
)
@_config
def add_user(name: str, role: str, config: Path, *, password_stdin: bool) -> None:
    """Add an account."""
    settings = load(config)
    password = _password(from_stdin=password_stdin)
    _with_accounts(settings, lambda accounts: accounts.add(name, password, Role(role)))


@user.command("list")
@_config
def list_users(config: Path) -> None:
    """Print each account's name and role, separated by a tab."""

    async def show(accounts: Accounts) -> None:
        for account in await accounts.list():
            click.echo(f"{account.name}\t{account.role}")

    _with_accounts(load(config), show)


@user.command("remove")
@click.argument("name")
@_config
def remove_user(name: str, config: Path) -> None:
    """Remove an account and end its sessions."""
    _with_accounts(load(config), lambda accounts: accounts.remove(name))


@user.command("password")
@click.argument("name")
@_password_stdin
@_config
def change_password(name: str, config: Path, *, password_stdin: bool) -> None:
    """Change an account's password and end its sessions."""
    settings = load(config)
    password = _password(from_stdin=password_stdin)
    _with_accounts(settings, lambda accounts: accounts.set_password(name, password))


def _password(*, from_stdin: bool) -> str:
    password = _asked_password(from_stdin=from_stdin)
    if 0 < len(password) < ADVISED_LENGTH:
        click.echo(
            f"spsd: warning: a password of less than {ADVISED_LENGTH} characters is easily guessed",
            err=True,
        )
    return password


def _asked_password(*, from_stdin: bool) -> str:
    if not from_stdin:
        if not sys.stdin.isatty():
            raise click.UsageError("There is no terminal to ask on: use --password-stdin.")
        return click.prompt("Password", type=str, hide_input=True, confirmation_prompt=True)
    try:
        # Only the line end that `echo` adds is not meant; blanks may be.
        return sys.stdin.buffer.read().decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise AccountError("the password on standard input is not UTF-8") from error


def _with_accounts(settings: Settings, act: Callable[[Accounts], Awaitable[object]]) -> None:
    _become_owner(Path(settings.state.directory))
    _check_installation(Path(os.__file__), Path(__file__))

    async def run() -> None:
        async with daemon.open_accounts(settings) as accounts:
            await act(accounts)

    asyncio.run(run())


def _become_owner(state: Path) -> None:
    """Go on as the state directory's owner if root calls.

    SQLite makes its journal files as whoever writes first: as root's they would lock the daemon,
    which is not root, out of its own database.
    """
    if os.geteuid() != 0 or not state.is_dir():
        return
    owner = state.stat()
    if owner.st_uid != 0:
        os.setgroups([])
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)


def _check_installation(*modules: Path) -> None:
    """Refuse to go on where root's way to Python or spsd is closed to the state's owner.

    Later imports would end in a riddle; and the owner's daemon cannot be this installation.
    """
    for module in modules:
        if not os.access(module, os.R_OK):
            raise StateError(
                f"{module}: cannot be read by user {os.geteuid()}, whose state directory this is; "
                "use the spsd command that the daemon runs from"
            )
