"""What the accounts need from outside; :mod:`spsd.jobs.ports` has the rest."""

from collections.abc import Sequence
from typing import Protocol

from spsd.accounts.model import Account, Role


class AccountRepository(Protocol):
    """Accounts and their sessions."""

    async def get(self, name: str) -> Account | None:
        """The account of that name."""

    async def list(self) -> Sequence[Account]:
        """Every account, by name."""

    async def add(self, account: Account, *, now: int) -> bool:
        """False: the name is taken."""

    async def set_password_hash(self, name: str, password_hash: str) -> bool:
        """Also ends the account's sessions. False: there is no such account."""

    async def remove(self, name: str) -> bool:
        """With its sessions. False: there is no such account."""

    async def open_session(self, name: str, token_hash: str, *, now: int) -> bool:
        """False: the account is gone."""

    async def session(self, token_hash: str) -> tuple[str, Role, int] | None:
        """Account name, role, and when it was last seen (epoch seconds)."""

    async def touch_session(self, token_hash: str, *, now: int) -> None:
        """Note that the session is in use."""

    async def close_session(self, token_hash: str) -> None:
        """Log out; nothing happens if it is closed already."""

    async def close_idle_sessions(self, *, before: int) -> None:
        """Forget the sessions last seen before that time."""


class PasswordHasher(Protocol):
    """Slow on purpose, off the loop, a few at a time."""

    async def hash(self, password: str) -> str:
        """A salted hash in PHC string format."""

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """With None it takes as long and is false: nobody learns which names exist."""
