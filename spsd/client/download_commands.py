"""``spsctl fetch`` and the commands on downloads; digests from ``sha256sum`` files."""

import asyncio
import re
from pathlib import Path
from posixpath import basename
from urllib.parse import unquote, urlsplit

import aiohttp
import click
from click.shell_completion import CompletionItem

from spsd.client import showing
from spsd.client.api import FETCH, Api, Document, connected
from spsd.client.context import Call, call_of, over_the_api
from spsd.client.errors import ApiError, CommandError, Exit
from spsd.client.showing import found, is_over
from spsd.client.watch import watch_downloads

# A backslash before the line: the name has escapes (coreutils' manual, md5sum invocation).
_LINE = re.compile(r"(\\?)([0-9A-Fa-f]{64}) [ *](.+)")
_TAGGED = re.compile(r"(\\?)SHA256 \((.+)\) = ([0-9A-Fa-f]{64})")
_ESCAPES = {"\\\\": "\\", "\\n": "\n", "\\r": "\r"}


def digest_for(url: str, sums: str) -> str:
    """The SHA-256 of the file that the URL names, in lower case.

    A file with one line, or with a bare digest, is taken whatever name it has.

    Raises:
        CommandError: it names the file nowhere, or twice with different digests.
    """
    if re.fullmatch(r"\s*[0-9A-Fa-f]{64}\s*", sums):
        return sums.strip().lower()
    lines = [found for line in sums.splitlines() if (found := _read(line)) is not None]
    name = unquote(basename(urlsplit(url).path))
    digests = {digest for listed, digest in lines if basename(listed) == name}
    if not digests and len(lines) == 1:
        digests = {lines[0][1]}
    if len(digests) == 1:
        return digests.pop()
    why = "names it with several digests" if digests else f"has {len(lines)} lines, none of it"
    raise CommandError(f"no digest for {name!r}: the file of checksums {why}", Exit.USAGE)


def _read(line: str) -> tuple[str, str] | None:
    if (found := _LINE.fullmatch(line)) is not None:
        escaped, digest, name = found.groups()
    elif (found := _TAGGED.fullmatch(line)) is not None:
        escaped, name, digest = found.groups()
    else:
        return None
    if escaped:
        name = re.sub(r"\\[\\nr]", lambda one: _ESCAPES[one[0]], name)
    return name, digest.lower()


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


@click.command()
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


async def _one(api: Api, prefix: str) -> Document:
    return await api.get(f"{FETCH}/{await found(api, prefix)}")


@click.command("downloads")
@over_the_api
async def list_downloads(api: Api, call: Call) -> None:
    """All downloads."""
    listed = await api.get(FETCH)
    call.answer(listed, lambda: showing.downloads(listed["items"]))


@click.command()
@_key
@over_the_api
async def show(api: Api, call: Call, key: str) -> None:
    """One download, and how it came to where it is."""
    document = await _one(api, key)
    try:
        moves = (await api.get(f"{FETCH}/{document['key']}/history"))["body"]["history"]
    except ApiError as error:
        if error.exit is not Exit.NOT_FOUND:
            raise
        moves = None  # the documented API has no history
    told = document if moves is None else {**document, "history": moves}
    call.answer(told, lambda: showing.download(document, moves))


@click.command()
@click.argument("key", required=False, shell_complete=_keys)
@over_the_api
async def watch(api: Api, call: Call, key: str | None) -> Exit | None:
    """All downloads as they go on, or one to its end. A host that goes away is waited for."""
    return await watch_downloads(api, call, None if key is None else await found(api, key))


@click.command()
@_key
@over_the_api
async def cancel(api: Api, call: Call, key: str) -> None:
    """Cancel a download that is queued or running."""
    document = await _one(api, key)
    whole, status = document["key"], document["body"]["status"]
    if is_over(document):
        raise CommandError(
            f"{whole} is {status} already; `spsctl remove` removes its record", Exit.CONFLICT
        )
    call.answer(await api.ask("DELETE", f"{FETCH}/{whole}"), lambda: f"cancelled {whole}")


@click.command()
@_key
@over_the_api
async def remove(api: Api, call: Call, key: str) -> None:
    """Remove the record of a download that is over."""
    document = await _one(api, key)
    whole, status = document["key"], document["body"]["status"]
    if not is_over(document):
        raise CommandError(f"{whole} is {status}; `spsctl cancel` first", Exit.CONFLICT)
    call.answer(await api.ask("DELETE", f"{FETCH}/{whole}"), lambda: f"removed {whole}")
