"""What the origin remembers of a request."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Asked:
    """One request and what became of it.

    A connection that was refused counts as a request of which nothing is known: no method, no path,
    no status. `status` is None until a reply has been begun. `sent` counts body bytes as they leave
    for the socket, without the framing of chunks; it may run ahead of what the kernel has taken by
    one block, never lag behind.
    """

    method: str = ""
    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    status: int | None = None
    sent: int = 0

    @property
    def range(self) -> str | None:
        """Return the Range field as it came."""
        return self.headers.get("range")

    @property
    def if_range(self) -> str | None:
        """Return the If-Range field as it came."""
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

    def record(self) -> dict[str, str | int | None]:
        """Return what a log tells of the request."""
        return {
            "method": self.method,
            "path": self.path,
            "range": self.range,
            "if_range": self.if_range,
            "status": self.status,
            "sent": self.sent,
        }
