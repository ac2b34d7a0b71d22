"""Who may do what."""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """``viewer`` reads, ``admin`` also writes."""

    ADMIN = "admin"
    VIEWER = "viewer"


@dataclass(frozen=True, slots=True)
class Account:
    """A name, a role, and the PHC string of the password's hash."""

    name: str
    role: Role
    password_hash: str


@dataclass(frozen=True, slots=True)
class Session:
    """A logged-in client; ``remaining_s`` is what the idle limit leaves."""

    account: str
    role: Role
    remaining_s: int
    touched: bool = False
    """Whether this request moved the limit; the cookie is then worth sending again."""

    def may_write(self) -> bool:
        """Only an admin changes anything."""
        return self.role is Role.ADMIN
