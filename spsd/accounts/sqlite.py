"""Accounts and sessions as rows; each method is one statement."""

from collections.abc import Sequence

from spsd.accounts.model import Account, Role, StoredSession
from spsd.storage.database import Database


class SqliteAccounts:
    """:class:`~spsd.accounts.ports.AccountRepository` over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, name: str) -> Account | None:
        """The account with that name; None: there is none."""
        sql = "SELECT name, role, password_hash FROM account WHERE name = ?"
        rows = await self._database.read(sql, (name,))
        return Account(rows[0][0], Role(rows[0][1]), rows[0][2]) if rows else None

    async def list(self) -> Sequence[Account]:
        """Every account, sorted by name."""
        sql = "SELECT name, role, password_hash FROM account ORDER BY name"
        return [Account(row[0], Role(row[1]), row[2]) for row in await self._database.read(sql)]

    async def add(self, account: Account, *, now: int) -> bool:
        """Add an account; False: the name is taken."""
        sql = (
            "INSERT INTO account (name, role, password_hash, created_at) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (name) DO NOTHING RETURNING id"
        )
        row = (account.name, account.role, account.password_hash, now)
        return bool(await self._database.rows(sql, row))

    async def set_password_hash(self, name: str, password_hash: str) -> bool:
        """Change the hash; a trigger ends the account's sessions. False: no such account."""
        sql = "UPDATE account SET password_hash = ? WHERE name = ? RETURNING id"
        return bool(await self._database.rows(sql, (password_hash, name)))

    async def remove(self, name: str) -> bool:
        """Remove the account; a foreign key removes its sessions. False: no such account."""
        sql = "DELETE FROM account WHERE name = ? RETURNING id"
        return bool(await self._database.rows(sql, (name,)))

    async def open_session(self, name: str, token_hash: str, *, now: int) -> bool:
        """Open a session for the account; False: the account has been removed."""
        sql = (
            "INSERT INTO session (token_hash, account, created_at, seen_at) "
            "SELECT ?, id, ?, ? FROM account WHERE name = ? RETURNING token_hash"
        )
        return bool(await self._database.rows(sql, (token_hash, now, now, name)))

    async def session(self, token_hash: str) -> StoredSession | None:
        """The session; None: there is none."""
        sql = (
            "SELECT name, role, session.created_at, seen_at FROM session "
            "JOIN account ON account.id = session.account WHERE token_hash = ?"
        )
        rows = await self._database.read(sql, (token_hash,))
        return StoredSession(rows[0][0], Role(rows[0][1]), *rows[0][2:]) if rows else None

    async def touch_session(self, token_hash: str, *, now: int) -> None:
        """Record that the session was used at ``now`` (seconds since the epoch).

        A time of its log-in after ``now`` becomes ``now``: the clock was set back.
        """
        sql = (
            "UPDATE session SET seen_at = :now, created_at = min(created_at, :now) "
            "WHERE token_hash = :token_hash"
        )
        await self._database.rows(sql, {"now": now, "token_hash": token_hash})

    async def close_session(self, token_hash: str) -> None:
        """Close the session; nothing happens if there is none."""
        await self._database.rows("DELETE FROM session WHERE token_hash = ?", (token_hash,))

    async def close_ended_sessions(self, *, used_before: int, opened_before: int) -> None:
        """Remove the sessions whose last use, or whose log-in, was before these times."""
        sql = "DELETE FROM session WHERE seen_at < ? OR created_at < ?"
        await self._database.rows(sql, (used_before, opened_before))
