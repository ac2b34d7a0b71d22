"""What the use cases of accounts need from adapters, as protocols."""

from collections.abc import Sequence
from typing import Protocol

from spsd.accounts.model import Account, StoredSession


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

    async def session(self, token_hash: str) -> StoredSession | None:
        """The session; None: there is none."""

    async def touch_session(self, token_hash: str, *, now: int) -> None:
        """Record that the session was used at ``now`` (seconds since the epoch).

        A time of its log-in after ``now`` becomes ``now``: the clock was set back.
        """

    async def close_session(self, token_hash: str) -> None:
        """Close the session; nothing happens if there is none."""

    async def close_ended_sessions(self, *, used_before: int, opened_before: int) -> None:
        """Remove the sessions whose last use, or whose log-in, was before these times.

        The times are seconds since the epoch.
        """


class PasswordHasher(Protocol):
    """Hashes passwords. Hashing is slow on purpose, so it runs on threads, a few at a time."""

    async def hash(self, password: str) -> str:
        """Compute a salted hash; returns it in PHC string format."""

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether the password has this hash.

        ``password_hash`` None means that there is no such account: the result is False after the
        same amount of work, so the response time does not reveal which names exist.
        """
