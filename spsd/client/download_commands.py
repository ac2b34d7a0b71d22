"""``spsctl fetch`` and the commands on downloads: key prefixes, and digests of checksum files."""

import asyncio
import re
from collections.abc import Iterable
from pathlib import Path
from posixpath import basename
from urllib.parse import unquote, urlsplit

import aiohttp
import click
from click.shell_completion import CompletionItem

from spsd.client import display
from spsd.client.api import FETCH, Api, Document, open_api
from spsd.client.errors import ApiError, CommandError, Exit, is_final
from spsd.client.invocation import Invocation, api_command
from spsd.client.watch import watch_downloads
from spsd.text import harmless, visible

# A backslash at the start of a line: the name contains escapes (coreutils manual, md5sum).
_LINE = re.compile(r"(\\?)([0-9A-Fa-f]{64}) [ *](.+)")
_TAGGED_LINE = re.compile(r"(\\?)SHA256 \((.+)\) = ([0-9A-Fa-f]{64})")
_ESCAPES = {"\\\\": "\\", "\\n": "\n", "\\r": "\r"}


def digest_for(url: str, sums: str) -> str:
    """The SHA-256 that ``sums`` lists for the file name of the URL, in lower case.

    ``sums`` is the text of a ``sha256sum`` file. If it is a digest alone, or has one line, the file
    name is not compared.

    Raises:
        CommandError: the file name is not listed, or is listed with different digests.
    """
    if re.fullmatch(r"\s*[0-9A-Fa-f]{64}\s*", sums):
        return sums.strip().lower()
    entries = [entry for line in sums.splitlines() if (entry := _parse_line(line)) is not None]
    name = unquote(basename(urlsplit(url).path))
    digests = {digest for listed, digest in entries if basename(listed) == name}
    if not digests and len(entries) == 1:
        digests = {entries[0][1]}
    if len(digests) == 1:
        return digests.pop()
    reason = (
        "lists it with several digests"
        if digests
        else f"has {len(entries)} lines with a digest, none of them for it"
    )
    raise CommandError(f"no digest for {name!r}: the checksum file {reason}", Exit.USAGE)


def _parse_line(line: str) -> tuple[str, str] | None:
    """The file name and the digest of a line; None: the line has another form."""
    if (match := _LINE.fullmatch(line)) is not None:
        escaped, digest, name = match.groups()
    elif (match := _TAGGED_LINE.fullmatch(line)) is not None:
        escaped, name, digest = match.groups()
    else:
        return None
    if escaped:
        name = re.sub(r"\\[\\nr]", lambda escape: _ESCAPES[escape[0]], name)
    return name, digest.lower()


def match_key(keys: Iterable[str], prefix: str) -> str:
    """The key that equals ``prefix``, else the only one that starts with it.

    Upper and lower case are the same.

    Raises:
        CommandError: no key starts with ``prefix``, or several do.
    """
    matches = [key for key in keys if key.startswith(prefix.lower())]
    if prefix in matches:
        return prefix
    match matches:
        case [key] if prefix:
            return key
        case []:
            raise CommandError(
                f"no download has a key that starts with {prefix!r}; `spsctl downloads` lists all",
                Exit.NOT_FOUND,
            )
        case _:
            shown = ", ".join(matches[:5]) + (", …" if len(matches) > 5 else "")
            raise CommandError(
                f"{len(matches)} keys start with {prefix!r}: {shown}. Give a longer prefix.",
                Exit.NOT_FOUND,
            )


async def _resolve_key(api: Api, prefix: str) -> str:
    items = (await api.get(FETCH))["items"]
    return match_key((str(item["key"]) for item in items), prefix)


async def _get_download(api: Api, prefix: str) -> Document:
    return await api.get(f"{FETCH}/{await _resolve_key(api, prefix)}")


def _complete_key(
    context: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The keys that start with ``incomplete``; none if the host cannot be reached."""

    async def list_items() -> list[Document]:
        async with open_api(Invocation.from_context(context, as_json=False).host) as api:
            return list((await api.get(FETCH))["items"])

    try:
        items = asyncio.run(list_items())
    except CommandError:
        return []
    return [
        # The shell reads a line for each part of an item.
        CompletionItem(
            visible(item["key"]),
            help=harmless(f"{item['body']['status']} {display.file_name(item['body'])}"),
        )
        for item in items
        if item["key"].startswith(incomplete)
    ]


_key_argument = click.argument("key", shell_complete=_complete_key)


@click.command()
@click.argument("url")
@click.option("--sha256", help="SHA-256 of the image, 64 hexadecimal digits.")
@click.option("--sha256-file", help="SHA256SUMS file that lists the image, or its URL.")
@click.option("--mirror", multiple=True, help="Other URL of the same image; may be repeated.")
@click.option(
    "--wait", is_flag=True, help="Show progress until the download ends; exit with its result."
)
@api_command
async def fetch(
    api: Api,
    invocation: Invocation,
    url: str,
    sha256: str | None,
    sha256_file: str | None,
    mirror: tuple[str, ...],
    wait: bool,  # noqa: FBT001 - a flag
) -> Exit | None:
    """Make the appliance download the image at URL."""
    if (sha256 is None) == (sha256_file is None):
        raise CommandError(
            "give either --sha256 or --sha256-file: the image is verified by its SHA-256",
            Exit.USAGE,
        )
    digest = sha256 or digest_for(url, await _read_text(sha256_file or ""))
    body: dict[str, object] = {"url": url, "checksum": {"sha256": digest}}
    if mirror:
        body["mirrors"] = list(mirror)
    accepted = await api.request("POST", FETCH, json=body)
    key = str(accepted["key"])
    if wait:
        return await watch_downloads(api, key, as_json=invocation.as_json)
    invocation.output(accepted, lambda: key)
    return None


async def _read_text(location: str) -> str:
    """The text at a path or an http(s) URL."""
    if not location.startswith(("http://", "https://")):
        try:
            return await asyncio.to_thread(Path(location).read_text, encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{location} cannot be read: {error}", Exit.USAGE) from error
    try:
        async with (
            aiohttp.ClientSession(trust_env=True) as session,
            session.get(location) as response,
        ):
            response.raise_for_status()
            return await response.text()
    except (aiohttp.ClientError, UnicodeDecodeError) as error:
        raise CommandError(f"{location} cannot be read: {error}", Exit.USAGE) from error


@click.command("downloads")
@api_command
async def list_downloads(api: Api, invocation: Invocation) -> None:
    """List all downloads."""
    document = await api.get(FETCH)
    invocation.output(document, lambda: display.downloads_table(document["items"]))


@click.command()
@_key_argument
@api_command
async def show(api: Api, invocation: Invocation, key: str) -> None:
    """Show one download with its history."""
    document = await _get_download(api, key)
    try:
        transitions = (await api.get(f"{FETCH}/{document['key']}/history"))["body"]["history"]
    except ApiError as error:
        if error.exit is not Exit.NOT_FOUND:
            raise
        transitions = None  # the documented API has no history
    result = document if transitions is None else {**document, "history": transitions}
    invocation.output(result, lambda: display.download_details(document, transitions))


@click.command()
@click.argument("key", required=False, shell_complete=_complete_key)
@api_command
async def watch(api: Api, invocation: Invocation, key: str | None) -> Exit | None:
    """Show the progress of all downloads, or of one until it ends. Reconnects to a lost host."""
    whole_key = None if key is None else await _resolve_key(api, key)
    return await watch_downloads(api, whole_key, as_json=invocation.as_json)


@click.command()
@_key_argument
@api_command
async def cancel(api: Api, invocation: Invocation, key: str) -> None:
    """Cancel a download that is queued or running."""
    document = await _get_download(api, key)
    whole_key, status = document["key"], document["body"]["status"]
    if is_final(document):
        raise CommandError(
            f"{whole_key} is already {status}; `spsctl remove` removes its record", Exit.CONFLICT
        )
    invocation.output(
        await api.request("DELETE", f"{FETCH}/{whole_key}"), lambda: f"cancelled {whole_key}"
    )


@click.command()
@_key_argument
@api_command
async def remove(api: Api, invocation: Invocation, key: str) -> None:
    """Remove the record of a download that has ended."""
    document = await _get_download(api, key)
    whole_key, status = document["key"], document["body"]["status"]
    if not is_final(document):
        raise CommandError(
            f"{whole_key} is {status}; cancel it first with `spsctl cancel`", Exit.CONFLICT
        )
    invocation.output(
        await api.request("DELETE", f"{FETCH}/{whole_key}"), lambda: f"removed {whole_key}"
    )
