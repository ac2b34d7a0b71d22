"""A client's request, parsed from its head (RFC 9112 sections 2 to 5)."""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

_REQUEST_LINE: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~]+) HTTP/1\.([01])")
_FIELD_LINE: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*?)[ \t]*")


class MalformedError(ValueError):
    """The received bytes are not a request that this origin can parse: status 400."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    `path` is the path of the target, percent-decoded, without the query. Field names are in lower
    case; the values of repeated fields are joined with commas. `minor` is the x of HTTP/1.x.
    """

    method: str
    target: str
    path: str
    headers: dict[str, str]
    minor: int = 1

    @property
    def keeps_alive(self) -> bool:
        """Return whether the client keeps the connection after the response (RFC 9112 9.3)."""
        options = self.headers.get("connection", "").lower().split(",")
        return self.minor == 1 and "close" not in (option.strip() for option in options)


def parse_head(head: bytes) -> Request:
    """Return the request with this head, which ends with the empty line.

    Raises:
        MalformedError: The head is not HTTP/1.x, or announces a body, which this origin rejects.
    """
    # Empty lines before the request line are ignored (RFC 9112 section 2.2).
    first, *rest = head.decode("latin-1").strip("\r\n").split("\r\n")
    line = _REQUEST_LINE.fullmatch(first)
    if line is None:
        raise MalformedError(f"not a request line: {first[:80]!r}")
    headers: dict[str, str] = {}
    for text in rest:
        field = _FIELD_LINE.fullmatch(text)
        if field is None:
            raise MalformedError(f"not a field line: {text[:80]!r}")
        name, value = field[1].lower(), field[2]
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    if "transfer-encoding" in headers or headers.get("content-length", "0") != "0":
        raise MalformedError("a request for a file has no body")
    return Request(line[1], line[2], _path(line[2]), headers, int(line[3]))


def _path(target: str) -> str:
    if target.startswith("/"):
        return unquote(target.partition("?")[0])
    try:  # the absolute form, which a server must accept (RFC 9112 section 3.2.2)
        return unquote(urlsplit(target).path)
    except ValueError as error:
        raise MalformedError(f"not a target: {target[:80]!r}") from error
