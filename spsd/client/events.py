"""Server-sent events, as the HTML standard has them (section 9.2)."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiohttp import StreamReader


@dataclass(frozen=True, slots=True)
class Event:
    """One event; ``data`` is its lines, joined."""

    kind: str
    data: str
    id: str


async def events(stream: StreamReader) -> AsyncIterator[Event]:
    """The events of a response's body, to its end; comments and unknown fields are passed over."""
    kind, last_id = "message", ""
    data: list[str] = []
    while line := await stream.readline():
        name, _, value = line.decode(errors="replace").rstrip("\r\n").partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                kind = value
            case "data":
                data.append(value)
            case "id":
                last_id = value
            case "" if not line.strip() and data:
                yield Event(kind, "\n".join(data), last_id)
                kind, data = "message", []
            case _:
                pass
