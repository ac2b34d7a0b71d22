"""What the use cases of accounts need from adapters, as protocols."""

from collections.abc import Sequence
from typing import Protocol

from spsd.accounts.model import Account, Role


class AccountRepository(Protocol):
    """Accounts and their sessions. Each method is one atomic statement."""

    async def get(self, name: str) -> Account | None:
        """The account with that name; None: there is none."""

    async def list(self) -> Sequence[Account]:
        """Every account, sorted by name."""

    async def add(self, account: Account, *, now: int) -> bool:
        """Add an account; False: the name is taken."""

    async def set_password_hash(self, name: str, password_hash: str) -> bool:
        """Change the hash and end the account's sessions; False: there is no such account."""

    async def remove(self, name: str) -> bool:
        """Remove the account with its sessions; False: there is no such account."""

    async def open_session(self, name: str, token_hash: str, *, now: int) -> bool:
        """Open a session for the account; False: the account has been removed."""

    async def session(self, token_hash: str) -> tuple[str, Role, int] | None:
        """Account name, role, and time of last use (seconds since the epoch); None: no session."""

    async def touch_session(self, token_hash: str, *, now: int) -> None:
        """Record that the session was used at ``now`` (seconds since the epoch)."""

    async def close_session(self, token_hash: str) -> None:
        """Close the session; nothing happens if there is none."""

    async def close_idle_sessions(self, *, before: int) -> None:
        """Remove the sessions whose last use was before that time (seconds since the epoch)."""


class PasswordHasher(Protocol):
    """Hashes passwords. Hashing is slow on purpose, so it runs on threads, a few at a time."""

    async def hash(self, password: str) -> str:
        """Compute a salted hash; returns it in PHC string format."""

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether the password has this hash.

        ``password_hash`` None means that there is no such account: the result is False after the
        same amount of work, so the response time does not reveal which names exist.
        """
