"""Accounts and sessions as rows, a statement each."""

from collections.abc import Sequence

from spsd.accounts.model import Account, Role
from spsd.storage.database import Database


class SqliteAccounts:
    """The account repository over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, name: str) -> Account | None:
        """The account of that name."""
        sql = "SELECT name, role, password_hash FROM account WHERE name = ?"
        rows = await self._database.read(sql, (name,))
        return Account(rows[0][0], Role(rows[0][1]), rows[0][2]) if rows else None

    async def list(self) -> Sequence[Account]:
        """Every account, by name."""
        sql = "SELECT name, role, password_hash FROM account ORDER BY name"
        return [Account(row[0], Role(row[1]), row[2]) for row in await self._database.read(sql)]

    async def add(self, account: Account, *, now: int) -> bool:
        """False: the name is taken."""
        sql = (
            "INSERT INTO account (name, role, password_hash, created_at) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (name) DO NOTHING RETURNING id"
        )
        row = (account.name, account.role, account.password_hash, now)
        return bool(await self._database.rows(sql, row))

    async def set_password_hash(self, name: str, password_hash: str) -> bool:
        """Also ends the account's sessions (a trigger's work). False: no such account."""
        sql = "UPDATE account SET password_hash = ? WHERE name = ? RETURNING id"
        return bool(await self._database.rows(sql, (password_hash, name)))

    async def remove(self, name: str) -> bool:
        """With its sessions (a foreign key's work). False: no such account."""
        sql = "DELETE FROM account WHERE name = ? RETURNING id"
        return bool(await self._database.rows(sql, (name,)))

    async def open_session(self, name: str, token_hash: str, *, now: int) -> bool:
        """False: the account is gone."""
        sql = (
            "INSERT INTO session (token_hash, account, created_at, seen_at) "
            "SELECT ?, id, ?, ? FROM account WHERE name = ? RETURNING token_hash"
        )
        return bool(await self._database.rows(sql, (token_hash, now, now, name)))

    async def session(self, token_hash: str) -> tuple[str, Role, int] | None:
        """Account name, role, and when it was last seen (epoch seconds)."""
        sql = (
            "SELECT name, role, seen_at FROM session JOIN account ON account.id = session.account "
            "WHERE token_hash = ?"
        )
        rows = await self._database.read(sql, (token_hash,))
        return (rows[0][0], Role(rows[0][1]), rows[0][2]) if rows else None

    async def touch_session(self, token_hash: str, *, now: int) -> None:
        """Note that the session is in use."""
        sql = "UPDATE session SET seen_at = ? WHERE token_hash = ?"
        await self._database.rows(sql, (now, token_hash))

    async def close_session(self, token_hash: str) -> None:
        """Log out; nothing happens if it is closed already."""
        await self._database.rows("DELETE FROM session WHERE token_hash = ?", (token_hash,))

    async def close_idle_sessions(self, *, before: int) -> None:
        """Forget the sessions last seen before that time."""
        await self._database.rows("DELETE FROM session WHERE seen_at < ?", (before,))
