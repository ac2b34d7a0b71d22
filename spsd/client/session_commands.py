"""``spsctl login`` and ``logout``: sessions, and whom to trust."""

import asyncio
import base64
import getpass
from typing import IO

import click
from msgspec.structs import replace

from spsd.client.api import COOKIE, Api, connected
from spsd.client.context import Call, call_of, canonical, ended, json_option, over_the_api
from spsd.client.errors import ApiError, CommandError, Exit
from spsd.client.hosts import Host, parsed, pin_file, presented, spelled


@click.command()
@click.argument("url", required=False)
@click.option("--user", "-u", help="Name of the account.")
@click.option(
    "--password-file", type=click.File("r"), help="First line is the password; - reads it."
)
@click.option("--ca-file", type=click.Path(exists=True, dir_okay=False), help="PEM authorities.")
@click.option("--fingerprint", help="SHA-256 of the certificate to pin.")
@click.option("--yes", is_flag=True, help="Pin whatever certificate is shown.")
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
    """Open a session at URL, and keep it. The first time, a certificate of its own is pinned."""
    call = call_of(context, as_json=as_json)

    async def run(name: str, password: str) -> None:
        known = call.host if url is None else call.hosts.get(canonical(url))
        host = await _with_trust(known, ca_file, fingerprint, sure=yes)
        token = await _logged_in(host, name, password)
        call.hosts.keep(replace(host, user=name, token=token))
        told = {"host": host.url, "user": name}
        call.answer(told, lambda: f"logged in to {host.url} as {name}")

    def ask_and_run() -> None:
        name = user or str(click.prompt("User", default=getpass.getuser(), err=True))
        asyncio.run(run(name, _password(password_file)))

    ended(ask_and_run, as_json=as_json)


def _password(file: IO[str] | None) -> str:
    if file is not None:
        return file.readline().rstrip("\r\n")
    return str(click.prompt("Password", hide_input=True, err=True))


async def _with_trust(
    host: Host, ca_file: str | None, fingerprint: str | None, *, sure: bool
) -> Host:
    if ca_file is not None:
        return replace(host, ca_file=pin_file(ca_file), fingerprint=None)
    if fingerprint is not None:
        return replace(host, fingerprint=parsed(fingerprint), ca_file=None)
    if host.ca_file is not None or host.fingerprint is not None:
        return host
    shown = await presented(host.url)
    if shown is None:
        return host
    click.echo(
        f"The certificate of {host.url} is signed by nobody known. Its SHA-256 fingerprint:\n"
        f"  {spelled(shown)}\nThe appliance's log tells it at each start.",
        err=True,
    )
    if not sure and not _agreed():
        raise CommandError("the certificate is not trusted", Exit.NOT_TRUSTED)
    return replace(host, fingerprint=shown)


def _agreed() -> bool:
    try:
        return click.confirm("Trust it from now on?", err=True)
    except click.Abort:  # there is nobody to be asked, or Ctrl-C
        return False


async def _logged_in(host: Host, user: str, password: str) -> str:
    basic = base64.b64encode(f"{user}:{password}".encode()).decode()
    headers = {"Authorization": f"Basic {basic}"}
    async with (
        connected(replace(host, token=None)) as api,
        api.answer("GET", "/api/authentication", headers=headers) as response,
    ):
        if (cookie := response.cookies.get(COOKIE)) is None:
            raise CommandError(f"{host.url} opens no session: is it this API?", Exit.UNREACHABLE)
        return cookie.value


@click.command()
@over_the_api
async def logout(api: Api, call: Call) -> None:
    """End the session, and forget it."""
    try:
        await api.ask("DELETE", "/api/authentication")
    except ApiError as error:
        # The documented API has no log-out: the session ends by itself.
        if error.exit not in (Exit.NOT_LOGGED_IN, Exit.REFUSED, Exit.NOT_FOUND):
            raise
    call.hosts.keep(replace(call.host, token=None))
    call.answer({"host": api.host.url}, lambda: f"logged out of {api.host.url}")
