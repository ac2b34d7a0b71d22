"""The commands of ``spsctl``."""

import asyncio
import base64
import getpass
import hashlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO

import aiohttp
import click
from click.shell_completion import CompletionItem, get_completion_class
from msgspec.structs import replace
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from spsd import __version__
from spsd.client import showing
from spsd.client.connection import COOKIE, FETCH, SLOTS, Api, Document, connected
from spsd.client.context import Call, call_of, canonical, ended, over_the_api
from spsd.client.downloads import found
from spsd.client.exits import Exit
from spsd.client.failures import ApiError, CommandError
from spsd.client.hosts import Host
from spsd.client.sums import digest_for
from spsd.client.trust import parsed, pin_file, presented, spelled
from spsd.client.watching import watch_downloads

_PIECE = 1024 * 1024


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="spsctl")
@click.option("--host", envvar="SPSCTL_HOST", help="URL of the host; else that of the last log-in.")
def main(host: str | None) -> None:
    """Firmware of an appliance over its REST API: fetch, look, test, upgrade."""


def run() -> None:
    """Run the command line of this process; ends with ``SystemExit``."""
    main(prog_name="spsctl", complete_var="_SPSCTL_COMPLETE")


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes SHELL complete commands and keys: eval "$(spsctl completion bash)"."""
    made = get_completion_class(shell)
    if made is None:
        raise click.UsageError(f"{shell} is not known to click")
    click.echo(made(main, {}, "spsctl", "_SPSCTL_COMPLETE").source())


@main.command()
@click.argument("url", required=False)
@click.option("--user", "-u", prompt=True, default=getpass.getuser, help="Name of the account.")
@click.option(
    "--password-file", type=click.File("r"), help="First line is the password; - reads it."
)
@click.option("--ca-file", type=click.Path(exists=True, dir_okay=False), help="PEM authorities.")
@click.option("--fingerprint", help="SHA-256 of the certificate to pin.")
@click.option("--yes", is_flag=True, help="Pin whatever certificate is shown.")
@click.pass_context
def login(
    context: click.Context,
    url: str | None,
    user: str,
    password_file: IO[str] | None,
    ca_file: str | None,
    fingerprint: str | None,
    yes: bool,  # noqa: FBT001 - a flag
) -> None:
    """Open a session at URL, and keep it. The first time, a certificate of its own is pinned."""
    call = call_of(context, as_json=False)
    password = _password(password_file)

    async def run() -> None:
        known = call.host if url is None else call.hosts.get(canonical(url))
        host = await _with_trust(known, ca_file, fingerprint, sure=yes)
        token = await _logged_in(host, user, password)
        call.hosts.keep(replace(host, user=user, token=token))
        call.say(f"logged in to {host.url} as {user}")

    ended(lambda: asyncio.run(run()), as_json=False)


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
    if not sure and not click.confirm("Trust it from now on?", err=True):
        raise CommandError("the certificate is not trusted", Exit.NOT_TRUSTED)
    return replace(host, fingerprint=shown)


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


@main.command()
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


def _keys(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Keys that begin so, with what they stand for; nothing where the host cannot be asked."""

    async def listed() -> list[Document]:
        async with connected(call_of(context, as_json=False).host) as api:
            return list((await api.get(FETCH))["items"])

    try:
        items = asyncio.run(listed())
    except CommandError:
        return []
    return [
        CompletionItem(item["key"], help=f"{item['body']['status']} {showing.name(item['body'])}")
        for item in items
        if item["key"].startswith(incomplete)
    ]


_key = click.argument("key", shell_complete=_keys)


@main.command()
@click.argument("url")
@click.option("--sha256", help="The image's digest, 64 hexadecimal digits.")
@click.option("--sha256-file", help="A SHA256SUMS file, or the URL of one, that names the image.")
@click.option("--mirror", multiple=True, help="Another URL of the same image; may be repeated.")
@click.option("--wait", is_flag=True, help="Show progress until it is over; end as it does.")
@over_the_api
async def fetch(
    api: Api,
    call: Call,
    url: str,
    sha256: str | None,
    sha256_file: str | None,
    mirror: tuple[str, ...],
    wait: bool,  # noqa: FBT001 - a flag
) -> Exit | None:
    """Have the appliance fetch the image at URL."""
    if (sha256 is None) == (sha256_file is None):
        raise CommandError("give --sha256 or --sha256-file: it is the only proof", Exit.USAGE)
    digest = sha256 or digest_for(url, await _text(sha256_file or ""))
    body: dict[str, object] = {"url": url, "checksum": {"sha256": digest}}
    if mirror:
        body["mirrors"] = list(mirror)
    accepted = await api.ask("POST", FETCH, json=body)
    key = str(accepted["key"])
    if wait:
        return await watch_downloads(api, call, key)
    call.answer(accepted, lambda: key)
    return None


async def _text(place: str) -> str:
    """A file's text, or that of what a URL names."""
    if not place.startswith(("http://", "https://")):
        try:
            return await asyncio.to_thread(Path(place).read_text, encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{place} cannot be read: {error}", Exit.USAGE) from error
    try:
        async with aiohttp.ClientSession(trust_env=True) as session, session.get(place) as response:
            response.raise_for_status()
            return await response.text()
    except (aiohttp.ClientError, UnicodeDecodeError) as error:
        raise CommandError(f"{place} cannot be read: {error}", Exit.USAGE) from error


@main.command("downloads")
@over_the_api
async def list_downloads(api: Api, call: Call) -> None:
    """All downloads."""
    listed = await api.get(FETCH)
    call.answer(listed, lambda: showing.downloads(listed["items"]))


@main.command()
@_key
@over_the_api
async def show(api: Api, call: Call, key: str) -> None:
    """One download, and how it came to where it is."""
    whole = await found(api, key)
    document = await api.get(f"{FETCH}/{whole}")
    try:
        moves = (await api.get(f"{FETCH}/{whole}/history"))["body"]["history"]
    except ApiError as error:
        if error.exit is not Exit.NOT_FOUND:
            raise
        moves = None  # the documented API has no history
    told = document if moves is None else {**document, "history": moves}
    call.answer(told, lambda: showing.download(document, moves))


@main.command()
@click.argument("key", required=False, shell_complete=_keys)
@over_the_api
async def watch(api: Api, call: Call, key: str | None) -> Exit | None:
    """All downloads as they go on, or one to its end. A host that goes away is waited for."""
    return await watch_downloads(api, call, None if key is None else await found(api, key))


@main.command()
@_key
@over_the_api
async def cancel(api: Api, call: Call, key: str) -> None:
    """Cancel a download that is queued or running."""
    whole = await found(api, key)
    status = (await api.get(f"{FETCH}/{whole}"))["body"]["status"]
    if status not in ("queued", "in-progress"):
        raise CommandError(
            f"{whole} is {status} already; `spsctl remove` removes its record", Exit.CONFLICT
        )
    call.answer(await api.ask("DELETE", f"{FETCH}/{whole}"), lambda: f"cancelled {whole}")


@main.command()
@_key
@over_the_api
async def remove(api: Api, call: Call, key: str) -> None:
    """Remove the record of a download that is over."""
    whole = await found(api, key)
    status = (await api.get(f"{FETCH}/{whole}"))["body"]["status"]
    if status in ("queued", "in-progress"):
        raise CommandError(f"{whole} is {status}; `spsctl cancel` first", Exit.CONFLICT)
    call.answer(await api.ask("DELETE", f"{FETCH}/{whole}"), lambda: f"removed {whole}")


@main.command("slots")
@over_the_api
async def list_slots(api: Api, call: Call) -> None:
    """All slots, and what they hold."""
    listed = await api.get(SLOTS)
    call.answer(listed, lambda: showing.slots(listed))


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@over_the_api
async def upload(api: Api, call: Call, file: Path) -> None:
    """Send FILE into an empty slot; its digest is checked at the other end."""
    size, digest = await asyncio.to_thread(_measured, file)
    with Progress(
        "{task.description}",
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=call.as_json or not sys.stderr.isatty(),
        transient=True,
    ) as progress:
        task = progress.add_task(file.name, total=size)

        async def pieces() -> AsyncIterator[bytes]:
            with file.open("rb") as opened:
                while piece := await asyncio.to_thread(opened.read, _PIECE):
                    yield piece
                    progress.advance(task, len(piece))

        uploaded = await api.ask(
            "POST",
            "/api/upload/firmware",
            data=pieces(),
            headers={
                "Content-Type": "application/octet-stream",
                "Content-Length": str(size),
                "X-Checksum-Sha256": digest,
            },
            # A refusal comes before the bytes are sent.
            expect100=True,
        )
    call.answer(uploaded, lambda: f"{file.name} is in slot {uploaded['key']}")


def _measured(file: Path) -> tuple[int, str]:
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
        return opened.tell(), digest


@main.command()
@click.argument("slot", type=click.IntRange(1))
@over_the_api
async def test(api: Api, call: Call, slot: int) -> None:
    """Try everything that an upgrade to SLOT would, and change nothing."""
    tested = await api.ask("POST", "/api/firmware/test", json={"slot_id": slot})
    call.answer(tested, lambda: tested["body"]["test_summary"])


@main.command()
@click.argument("slot", type=click.IntRange(1))
@click.option("--message", "-m", help="For the appliance's log.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@over_the_api
async def upgrade(
    api: Api,
    call: Call,
    slot: int,
    message: str | None,
    yes: bool,  # noqa: FBT001 - a flag
) -> None:
    """Test SLOT, boot it next, and have the appliance restarted."""
    if not yes and not click.confirm(
        f"Restart {api.host.url} with the firmware in slot {slot}?", err=True
    ):
        raise CommandError("nothing was changed", Exit.INTERRUPTED)
    order: dict[str, object] = {"slot_id": slot}
    if message is not None:
        order["message"] = message
    upgraded = await api.ask("POST", "/api/firmware/upgrade", json=order)
    call.answer(upgraded, lambda: upgraded["body"]["test_summary"])


@main.command("info")
@over_the_api
async def show_info(api: Api, call: Call) -> None:
    """What the appliance is, and which firmware runs."""
    document = await api.get("/api/info")
    call.answer(document, lambda: showing.facts(document["body"]))
