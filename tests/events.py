"""A parser of server-sent events, for tests."""

import asyncio
import json
from dataclasses import dataclass

from aiohttp import ClientResponse

ACCEPT = {"Accept": "text/event-stream"}


@dataclass
class Event:
    """One event; ``data`` is its JSON."""

    id: str
    event: str
    data: dict


class Stream:
    """The events of a response, in their order."""

    def __init__(self, response: ClientResponse) -> None:
        self.response = response

    async def line(self) -> bytes:
        """The next line, within 20 seconds; empty at the end of the response."""
        async with asyncio.timeout(20):
            return await self.response.content.readline()

    async def next(self) -> Event | None:
        """The next event; None at the end of the response. Comments are skipped."""
        fields: dict[str, str] = {}
        while line := (await self.line()).decode():
            name, _, value = line.rstrip("\n").partition(": ")
            if name and value:
                fields[name] = value
            elif fields and not name:
                return Event(fields["id"], fields["event"], json.loads(fields["data"]))
        return None

    async def until(self, **body: object) -> Event:
        """The next event whose download has these members in its body.

        Raises:
            AssertionError: the response ended without such an event.
        """
        while (event := await self.next()) is not None:
            if body.items() <= event.data.get("body", {}).items():
                return event
        raise AssertionError(f"no download with {body}")
