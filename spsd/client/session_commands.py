"""``spsctl login`` and ``logout``: sessions, and the trust in a host's certificate."""

import asyncio
import base64
import getpass
from typing import IO

import click
from msgspec.structs import replace

from spsd.client.api import COOKIE, Api, open_api
from spsd.client.errors import ApiError, CommandError, Exit, InputEnded
from spsd.client.hosts import Host
from spsd.client.invocation import Invocation, api_command, json_option, run_and_exit
from spsd.client.prompts import ask, confirm
from spsd.client.trust import (
    Certificate,
    Unknown,
    format_fingerprint,
    judge,
    parse_fingerprint,
    presented_certificate,
)
from spsd.text import visible


@click.command()
@click.argument("url", required=False)
@click.option("--user", "-u", help="Name of the account.")
@click.option(
    "--password-file",
    type=click.File("r"),
    help="File whose first line is the password; - for standard input.",
)
@click.option(
    "--ca-file",
    # Absolute: later commands run in other directories.
    type=click.Path(exists=True, dir_okay=False, resolve_path=True),
    help="PEM file of certificate authorities.",
)
@click.option("--fingerprint", help="SHA-256 fingerprint of the certificate to pin.")
@click.option("--yes", is_flag=True, help="Pin an untrusted certificate without a prompt.")
@json_option
@click.pass_context
def login(
    context: click.Context,
    url: str | None,
    user: str | None,
    password_file: IO[str] | None,
    ca_file: str | None,
    fingerprint: str | None,
    yes: bool,  # noqa: FBT001 - a flag
    as_json: bool,  # noqa: FBT001 - a flag
) -> None:
    """Open a session at URL and store it. The first log-in may pin a self-signed certificate."""
    invocation = Invocation.from_context(context, as_json=as_json)

    async def run(host: Host, name: str, password: str) -> None:
        token = await _open_session(host, name, password)
        invocation.hosts.save(replace(host, user=name, token=token))
        document = {"host": host.url, "user": name}
        invocation.output(document, lambda: f"logged in to {host.url} as {name}")

    def prompt_and_run() -> None:
        known = invocation.host_at(invocation.url if url is None else url)
        name = user or ask("User", default=_login_name())
        password = _read_password(password_file)
        host = _with_trust(known, ca_file, fingerprint, pin_without_prompt=yes)
        asyncio.run(run(host, name, password))

    run_and_exit(prompt_and_run, as_json=as_json)


def _login_name() -> str | None:
    """The name of this process's user; None: the system does not know it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # OSError since Python 3.13
        return None


def _read_password(file: IO[str] | None) -> str:
    if file is None:
        return ask("Password", hidden=True)
    try:
        return file.readline().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise CommandError("the file of the password is not UTF-8", Exit.USAGE) from error


def _with_trust(
    host: Host, ca_file: str | None, fingerprint: str | None, *, pin_without_prompt: bool
) -> Host:
    """The host with what its certificate is to be verified by, after a prompt where needed.

    Raises:
        CommandError: the certificate is not trusted, or the server cannot be reached.
    """
    if ca_file is not None:
        return replace(host, ca_file=ca_file, fingerprint=None, verified=False)
    if fingerprint is not None:
        pin = parse_fingerprint(fingerprint)
        return replace(host, fingerprint=pin, ca_file=None, verified=False)
    if host.ca_file is not None:
        return host
    try:
        certificate = asyncio.run(presented_certificate(host.url))
    except CommandError:
        if host.fingerprint is None:
            raise
        return host  # reachable through a proxy alone, perhaps; the pin is verified there
    verdict = judge(host, certificate)
    if isinstance(verdict, Unknown):
        _confirm_pinning(host, verdict.certificate, without_prompt=pin_without_prompt)
        return replace(host, fingerprint=verdict.certificate.fingerprint)
    if host.fingerprint is not None and verdict.fingerprint is None:
        click.echo(
            f"The certificate of {host.url} is no longer the pinned one. An authority verifies the "
            "new one, which from now on has to be so.",
            err=True,
        )
    return verdict


def _confirm_pinning(host: Host, certificate: Certificate, *, without_prompt: bool) -> None:
    click.echo(
        f"The certificate of {host.url} is not signed by a trusted authority "
        f"({visible(certificate.rejection or '')}). Its SHA-256 fingerprint:\n"
        f"  {format_fingerprint(certificate.fingerprint)}\n"
        "The appliance logs its fingerprint at each start.",
        err=True,
    )
    try:
        if without_prompt or confirm("Trust it from now on?"):
            return
    except InputEnded:
        raise CommandError(
            "the certificate is not trusted, and the input ended before an answer; a script passes "
            "--fingerprint or --ca-file",
            Exit.NOT_TRUSTED,
        ) from None
    raise CommandError("the certificate is not trusted", Exit.NOT_TRUSTED)


async def _open_session(host: Host, user: str, password: str) -> str:
    """Log in; the token of the session."""
    basic = base64.b64encode(f"{user}:{password}".encode()).decode()
    headers = {"Authorization": f"Basic {basic}"}
    async with (
        open_api(replace(host, token=None)) as api,
        api.open_response("GET", "/api/authentication", headers=headers) as response,
    ):
        if (cookie := response.cookies.get(COOKIE)) is None:
            raise CommandError(
                f"{host.url} did not return a session; check the URL of the host",
                Exit.UNREACHABLE,
            )
        return cookie.value


@click.command()
@api_command
async def logout(api: Api, invocation: Invocation) -> None:
    """End the session and delete its token."""
    try:
        await api.request("DELETE", "/api/authentication")
    except ApiError as error:
        # The documented API has no log-out; the session of such a server expires.
        if error.exit not in (Exit.NOT_LOGGED_IN, Exit.REFUSED, Exit.NOT_FOUND):
            raise
    invocation.hosts.save(replace(invocation.host, token=None))
    invocation.output({"host": api.host.url}, lambda: f"logged out of {api.host.url}")


@click.command()
@click.argument("url", required=False)
@json_option
@click.pass_context
def forget(context: click.Context, url: str | None, as_json: bool) -> None:  # noqa: FBT001 - a flag
    """Forget a host: its session, and how its certificate was trusted."""
    invocation = Invocation.from_context(context, as_json=as_json)

    def run() -> None:
        known = invocation.host_at(invocation.url if url is None else url).url
        invocation.hosts.forget(known)
        invocation.output({"host": known}, lambda: f"forgot {known}")

    run_and_exit(run, as_json=as_json)
