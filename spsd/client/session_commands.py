"""``spsctl login`` and ``logout``: sessions, and the trust in a host's certificate."""

import asyncio
import base64
import getpass
from typing import IO

import click
from msgspec.structs import replace

from spsd.client.api import COOKIE, Api, open_api
from spsd.client.errors import ApiError, CommandError, Exit
from spsd.client.hosts import (
    Host,
    format_fingerprint,
    parse_fingerprint,
    untrusted_fingerprint,
)
from spsd.client.invocation import (
    Invocation,
    api_command,
    json_option,
    normalize_url,
    run_and_exit,
)


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

    async def run(name: str, password: str) -> None:
        known = invocation.host if url is None else invocation.hosts.get(normalize_url(url))
        host = await _with_trust(known, ca_file, fingerprint, pin_without_prompt=yes)
        token = await _open_session(host, name, password)
        invocation.hosts.save(replace(host, user=name, token=token))
        document = {"host": host.url, "user": name}
        invocation.output(document, lambda: f"logged in to {host.url} as {name}")

    def prompt_and_run() -> None:
        name = user or str(click.prompt("User", default=getpass.getuser(), err=True))
        asyncio.run(run(name, _read_password(password_file)))

    run_and_exit(prompt_and_run, as_json=as_json)


def _read_password(file: IO[str] | None) -> str:
    if file is not None:
        return file.readline().rstrip("\r\n")
    return str(click.prompt("Password", hide_input=True, err=True))


async def _with_trust(
    host: Host, ca_file: str | None, fingerprint: str | None, *, pin_without_prompt: bool
) -> Host:
    """The host with the CA file or fingerprint to verify it by, after a prompt where needed."""
    if ca_file is not None:
        return replace(host, ca_file=ca_file, fingerprint=None)
    if fingerprint is not None:
        return replace(host, fingerprint=parse_fingerprint(fingerprint), ca_file=None)
    if host.ca_file is not None or host.fingerprint is not None:
        return host
    untrusted = await untrusted_fingerprint(host.url)
    if untrusted is None:
        return host
    click.echo(
        f"The certificate of {host.url} is not signed by a trusted authority. Its SHA-256 "
        f"fingerprint:\n  {format_fingerprint(untrusted)}\n"
        "The appliance logs its fingerprint at each start.",
        err=True,
    )
    if not pin_without_prompt and not _confirm_pinning():
        raise CommandError("the certificate is not trusted", Exit.NOT_TRUSTED)
    return replace(host, fingerprint=untrusted)


def _confirm_pinning() -> bool:
    try:
        return click.confirm("Trust it from now on?", err=True)
    except click.Abort:  # standard input has ended, or Ctrl-C
        return False


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
