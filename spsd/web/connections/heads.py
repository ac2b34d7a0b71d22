"""Where the head of a request ends, and how long it is. Pure rules.

aiohttp bounds each field of a head, but not the head. Its parser keeps what it has of an unfinished
head, and does not report how much that is.
"""

from typing import Final

MOST_HEAD_BYTES: Final = 32 * 1024
"""The longest head of a request: its request line and all fields."""
_END = b"\r\n\r\n"
_PRI = b"PRI "
_PREFACE_BYTES: Final = 24
"""What a client of HTTP/2 sends first (RFC 9113 section 3.4); aiohttp refuses it as a whole."""


class HeadReader:
    """Finds the end of one head in the bytes of a connection (RFC 9112 section 2.1).

    Empty lines before the request line are no part of the head (section 2.2). The preface of HTTP/2
    counts as one head, with the blank line in its middle.
    """

    def __init__(self) -> None:
        self.size = 0
        """The number of bytes of the head so far."""
        self._tail = b""
        self._start = b""

    def feed(self, data: bytes) -> int | None:
        """The number of bytes of ``data`` up to the end of the head; None if it does not end there.

        After the end of the head it must not be called again.
        """
        skipped = 0 if self.size else len(data) - len(data.lstrip(b"\r\n"))
        self._start = (self._start + data[skipped:])[: len(_PRI)]
        if self._start == _PRI:
            used = min(len(data) - skipped, _PREFACE_BYTES - self.size)
            self.size += used
            return skipped + used if self.size == _PREFACE_BYTES else None
        window = self._tail + data[skipped:]
        end = window.find(_END)
        if end < 0:
            self.size += len(data) - skipped
            self._tail = window[-len(_END) + 1 :]
            return None
        used = end + len(_END) - len(self._tail)
        self.size += used
        return skipped + used
