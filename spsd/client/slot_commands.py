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
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from spsd.client import showing
from spsd.client.api import SLOTS, Api
from spsd.client.context import Call, over_the_api
from spsd.client.errors import CommandError, Exit

_PIECE = 1024 * 1024


@click.command("slots")
@over_the_api
async def list_slots(api: Api, call: Call) -> None:
    """All slots, and what they hold."""
    listed = await api.get(SLOTS)
    call.answer(listed, lambda: showing.slots(listed))


@click.command()
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


@click.command()
@click.argument("slot", type=click.IntRange(1))
@over_the_api
async def test(api: Api, call: Call, slot: int) -> None:
    """Try everything that an upgrade to SLOT would, and change nothing."""
    tested = await api.ask("POST", "/api/firmware/test", json={"slot_id": slot})
    call.answer(tested, lambda: tested["body"]["test_summary"])


@click.command()
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


@click.command("info")
@over_the_api
async def show_info(api: Api, call: Call) -> None:
    """What the appliance is, and which firmware runs."""
    document = await api.get("/api/info")
    call.answer(document, lambda: showing.facts(document["body"]))
