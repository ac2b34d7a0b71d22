"""``spsctl slots``, ``upload``, ``test``, ``upgrade`` and ``info``."""

import asyncio
import hashlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from spsd.client import display
from spsd.client.api import SLOTS, Api
from spsd.client.errors import CommandError, Exit
from spsd.client.invocation import Invocation, api_command
from spsd.client.prompts import confirm
from spsd.text import harmless

_CHUNK_SIZE = 1024 * 1024


@click.command("slots")
@api_command
async def list_slots(api: Api, invocation: Invocation) -> None:
    """List the slots and their contents."""
    document = await api.get(SLOTS)
    invocation.output(document, lambda: display.slots_table(document))


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@api_command
async def upload(api: Api, invocation: Invocation, file: Path) -> None:
    """Upload FILE into an empty slot. The appliance verifies its SHA-256."""
    size, digest = await _size_and_sha256(file)
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=invocation.as_json or not sys.stderr.isatty(),
        transient=True,
    ) as progress:
        task = progress.add_task(harmless(file.name), total=size)

        async def chunks() -> AsyncIterator[bytes]:
            with file.open("rb") as opened:
                while chunk := await asyncio.to_thread(opened.read, _CHUNK_SIZE):
                    yield chunk
                    progress.advance(task, len(chunk))

        uploaded = await api.request(
            "POST",
            "/api/upload/firmware",
            data=chunks(),
            headers={
                "Content-Type": "application/octet-stream",
                "Content-Length": str(size),
                "X-Checksum-Sha256": digest,
            },
            # "Expect: 100-continue": an error response arrives before the body is sent.
            expect100=True,
        )
    invocation.output(uploaded, lambda: f"{file.name} is in slot {uploaded['key']}")


async def _size_and_sha256(file: Path) -> tuple[int, str]:
    """Read chunk by chunk, so that Ctrl-C does not wait for the end of a large file."""
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while chunk := await asyncio.to_thread(opened.read, _CHUNK_SIZE):
            digest.update(chunk)
        return opened.tell(), digest.hexdigest()


@click.command()
@click.argument("slot", type=click.IntRange(1))
@api_command
async def test(api: Api, invocation: Invocation, slot: int) -> None:
    """Test an upgrade to SLOT. Runs its checks and changes nothing."""
    result = await api.request("POST", "/api/firmware/test", json={"slot_id": slot})
    invocation.output(result, lambda: result["body"]["test_summary"])


@click.command()
@click.argument("slot", type=click.IntRange(1))
@click.option("--message", "-m", help="Reason, written to the appliance's log.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")
@api_command
async def upgrade(
    api: Api,
    invocation: Invocation,
    slot: int,
    message: str | None,
    yes: bool,  # noqa: FBT001 - a flag
) -> None:
    """Upgrade to SLOT. Tests it, selects it for the next boot, and restarts the appliance."""
    if not yes and not confirm(f"Restart {api.host.url} with the firmware in slot {slot}?"):
        raise CommandError("nothing was changed", Exit.INTERRUPTED)
    body: dict[str, object] = {"slot_id": slot}
    if message is not None:
        body["message"] = message
    result = await api.request("POST", "/api/firmware/upgrade", json=body)
    invocation.output(result, lambda: result["body"]["test_summary"])


@click.command("info")
@api_command
async def show_info(api: Api, invocation: Invocation) -> None:
    """Show the appliance's name, version and running firmware."""
    document = await api.get("/api/info")
    invocation.output(document, lambda: display.properties_table(document["body"]))
