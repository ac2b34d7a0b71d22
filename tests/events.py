"""A reader of server-sent events, for tests."""

import asyncio
import json
from dataclasses import dataclass

from aiohttp import ClientResponse

ACCEPT = {"Accept": "text/event-stream"}


@dataclass
class Event:
    id: str
    event: str
    data: dict


class Stream:
    """The events of a response, one by one."""

    def __init__(self, response: ClientResponse) -> None:
        self.response = response

    async def line(self) -> bytes:
        async with asyncio.timeout(20):
            return await self.response.content.readline()

    async def next(self) -> Event | None:
        """None: it has ended; comments are passed over."""
        fields: dict[str, str] = {}
        while line := (await self.line()).decode():
            name, _, value = line.rstrip("\n").partition(": ")
            if name and value:
                fields[name] = value
            elif fields and not name:
                return Event(fields["id"], fields["event"], json.loads(fields["data"]))
        return None

    async def until(self, **body: object) -> Event:
        """The next download whose body has such members."""
        while (event := await self.next()) is not None:
            if body.items() <= event.data.get("body", {}).items():
                return event
        raise AssertionError(f"no download with {body}")
