"""The daemon's command line.

Every SpsdError becomes one line on standard error. The exit code is 2 if the configuration or the
call is at fault, and 1 for all other errors.
"""

import asyncio
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import click

from spsd import __version__, daemon
from spsd.accounts.model import Role
from spsd.accounts.service import ADVISED_LENGTH, Accounts
from spsd.clock import Clock
from spsd.config import Settings, load
from spsd.doctor import run as doctor
from spsd.doctor.rules import Finding, nothing_wrong
from spsd.errors import AccountError, ConfigurationError, SpsdError, StateError
from spsd.hangup import remember_hangup
from spsd.limits import LIMITS, Limits
from spsd.system.host import Appliance, this_appliance
from spsd.system.logs import LogFormat, log_handler, log_uncaught
from spsd.text import harmless, visible

_config = click.option(
    "--config",
    type=click.Path(readable=False, path_type=Path),  # `load` has the better error message
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
    """Run the command line of this process; it ends with ``SystemExit``.

    A launcher may pass other facts, clocks and limits than this machine's; ``serve`` uses them.
    """
    # Database, images and keys are readable for the daemon's user only.
    os.umask(0o077)
    try:
        cli(prog_name="spsd", obj=_Injected(appliance, clock, limits))
    except SpsdError as error:
        _fail(error)
    except BaseExceptionGroup as group:
        # The task group of the daemon wraps every error, a single one as well.
        expected, others = group.split(SpsdError)
        if expected is None or others is not None:
            raise
        _fail(_first(expected))


@dataclass(frozen=True, slots=True)
class _Injected:
    """The arguments of :func:`main`, for ``serve``."""

    appliance: Callable[[], Appliance]
    clock: Clock
    limits: Limits


def _fail(error: BaseException) -> NoReturn:
    click.echo(f"spsd: {harmless(str(error))}", err=True)
    sys.exit(2 if isinstance(error, ConfigurationError) else 1)


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


@click.group()
@click.version_option(__version__, prog_name="spsd")
def cli() -> None:
    """Download firmware images, verify them, and install them into slots."""


@cli.command()
@click.option(
    "--log-format",
    type=click.Choice([choice.value for choice in LogFormat]),
    help="The format of the log; overrides [log] format.",
)
@_config
@click.pass_obj
def serve(injected: _Injected, config: Path, log_format: str | None) -> None:
    """Run the daemon until SIGTERM. SIGHUP reloads [fetch] and the certificate's files."""
    remember_hangup()  # other launchers than spsd/__main__.py have not done so
    settings = load(config)
    handler = log_handler(os.environ, sys.stderr, LogFormat(log_format or settings.log.format))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    log_uncaught()
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
    """Check the configuration file."""
    load(config)
    click.echo(f"{config}: ok")


@cli.command("doctor")
@click.option("--deep", is_flag=True, help="Verify the SHA-256 of every image as well.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of lines.")
@_config
def run_doctor(config: Path, *, deep: bool, as_json: bool) -> None:
    """Check the installation, whether the daemon runs or not. Nothing is changed.

    Exit code 0: nothing is wrong; 1: something is wrong; 2: the call is at fault.
    """
    findings = []
    for finding in _findings(config, deep=deep):
        findings.append(finding)
        if not as_json:
            click.echo(finding.line())
    if as_json:
        click.echo(json.dumps([finding.document() for finding in findings], indent=2))
    sys.exit(0 if nothing_wrong(findings) else 1)


def _findings(config: Path, *, deep: bool) -> Iterator[Finding]:
    try:
        settings = load(config)
    except ConfigurationError as error:
        yield doctor.configuration_rejected(error)
        return
    _become_owner(Path(settings.state.directory))
    yield from doctor.findings(settings, deep=deep)


@cli.group()
def user() -> None:
    """Accounts of the REST API. A running daemon applies changes at once."""


@user.command("add")
@click.argument("name")
@_password_stdin
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    default=Role.ADMIN.value,
    show_default=True,
    help="A viewer may only read; an admin may also write.",
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
            click.echo(f"{visible(account.name)}\t{account.role}")

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
    password = _read_password(from_stdin=from_stdin)
    if 0 < len(password) < ADVISED_LENGTH:
        click.echo(
            f"spsd: warning: a password of less than {ADVISED_LENGTH} characters is easily guessed",
            err=True,
        )
    return password


def _read_password(*, from_stdin: bool) -> str:
    if not from_stdin:
        if not sys.stdin.isatty():
            raise click.UsageError("There is no terminal to prompt on: use --password-stdin.")
        return click.prompt("Password", type=str, hide_input=True, confirmation_prompt=True)
    try:
        # The line end that `echo` adds is no part of the password; blanks are.
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
    """Switch to the user who owns the state directory, if this process runs as root.

    SQLite creates its journal files as the user who writes first. Files of root would be closed to
    the daemon, which does not run as root.
    """
    if os.geteuid() != 0 or not state.is_dir():
        return
    owner = state.stat()
    if owner.st_uid != 0:
        os.setgroups([])
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)


def _check_installation(*modules: Path) -> None:
    """Check that the state directory's owner can read the Python and the spsd that root started.

    Otherwise a later import would fail with a misleading error. Such an installation cannot be the
    one that the daemon runs from.

    Raises:
        StateError: a module cannot be read.
    """
    for module in modules:
        if not os.access(module, os.R_OK):
            raise StateError(
                f"{module}: cannot be read by user {os.geteuid()}, who owns the state directory; "
                "use the spsd command that the daemon runs from"
            )
