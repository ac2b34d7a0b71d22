"""What the origin records of each request."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class RequestRecord:
    """One request and the outcome of its response.

    A connection that was refused is recorded as a request without method, path and status.
    ``status`` is None until the origin begins to send a response. ``sent`` counts body bytes,
    without the framing of chunks. Bytes are counted just before they are passed to the socket:
    ``sent`` may be ahead of what the kernel has taken by one block, and is never behind it.
    """

    method: str = ""
    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    status: int | None = None
    sent: int = 0

    @property
    def range(self) -> str | None:
        """Return the value of the Range field, unchanged; None if there is none."""
        return self.headers.get("range")

    @property
    def if_range(self) -> str | None:
        """Return the value of the If-Range field, unchanged; None if there is none."""
        return self.headers.get("if-range")

    def __str__(self) -> str:
        """Return a line for people."""
        if not self.method:
            return "a connection, refused"
        conditions = [
            f", {name} {value}"
            for name, value in (("Range", self.range), ("If-Range", self.if_range))
            if value is not None
        ]
        status = "no reply" if self.status is None else str(self.status)
        return f"{self.method} {self.path}{''.join(conditions)}: {status}, {self.sent} bytes sent"

    def as_dict(self) -> dict[str, str | int | None]:
        """Return the members of the request's JSON object in the log."""
        return {
            "method": self.method,
            "path": self.path,
            "range": self.range,
            "if_range": self.if_range,
            "status": self.status,
            "sent": self.sent,
        }
