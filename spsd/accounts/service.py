"""Accounts, log-in and sessions."""

import asyncio
import hashlib
import logging
import re
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from weakref import WeakValueDictionary

from spsd.accounts.model import Account, Role, Session, Throttle
from spsd.accounts.ports import AccountRepository, PasswordHasher
from spsd.clock import Now
from spsd.errors import AccountError, TooManyAttemptsError, UnauthenticatedError
from spsd.failures import ApplianceError
from spsd.storage.faults import DatabaseError

_log = logging.getLogger(__name__)
TOUCH_S = 15
"""A session's use is written down at most this often: each note is a durable write."""
WAITING_FOR_ONE_PEER = 64
"""Log-ins of one address that may wait for their check; more are told to come again. So another
address waits for so many checks at most, and for no longer queue."""
PASSWORD_LENGTHS = range(1, 1025)
ADVISED_LENGTH = 8
"""Shorter ones are taken, with a warning: whoever may add users may decide that."""
_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class LogIn:
    """A new session and the token that opens it; the token is shown once and never stored."""

    token: str
    session: Session


class Accounts:
    """The use cases behind ``/api/authentication`` and ``spsd user``."""

    def __init__(
        self, accounts: AccountRepository, passwords: PasswordHasher, *, idle_s: int, now: Now
    ) -> None:
        self._accounts = accounts
        self._passwords = passwords
        self._throttle = Throttle()
        self._turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        self._waiting: Counter[str] = Counter()
        self._now = now
        self._untouched_at = -TOUCH_S
        self.idle_s = idle_s

    async def add(self, name: str, password: str, role: Role) -> None:
        """Add an account.

        Raises:
            AccountError: the name is taken or cannot be one, or the password is empty or too long.
        """
        if _NAME.fullmatch(name) is None:
            raise AccountError(
                f"{name!r} cannot be a user name: use 1 to 64 letters, digits and . _ @ -"
            )
        account = Account(name, role, await self._hashed(password))
        if not await self._accounts.add(account, now=self._now()):
            raise AccountError(
                f"the user {name} exists already; `spsd user password {name}` changes the password"
            )

    async def set_password(self, name: str, password: str) -> None:
        """Change a password and end the account's sessions.

        Raises:
            AccountError: there is no such account, or the password is empty or too long.
        """
        if not await self._accounts.set_password_hash(name, await self._hashed(password)):
            raise _unknown(name)

    async def remove(self, name: str) -> None:
        """Remove an account with its sessions.

        Raises:
            AccountError: there is no such account.
        """
        if not await self._accounts.remove(name):
            raise _unknown(name)

    async def list(self) -> Sequence[Account]:
        """Every account, by name."""
        return await self._accounts.list()

    async def log_in(self, name: str, password: str, *, peer: str) -> LogIn:
        """Open a session for the right name and password.

        Raises:
            UnauthenticatedError: they are wrong; nothing tells which.
            TooManyAttemptsError: too many failures from ``peer`` for this name, or too many
                log-ins of its at once; not even looked at.
        """
        with self._in_the_queue(peer):
            account = await self._recognised(name, password, peer)
        await self._accounts.close_idle_sessions(before=self._now() - self.idle_s)
        token = secrets.token_hex(20)
        if not await self._accounts.open_session(name, _hashed_token(token), now=self._now()):
            raise _wrong()  # removed in this very moment
        return LogIn(token, Session(name, account.role, self.idle_s, touched=True))

    @contextmanager
    def _in_the_queue(self, peer: str) -> Iterator[None]:
        if self._waiting[peer] >= WAITING_FOR_ONE_PEER:
            raise TooManyAttemptsError(
                f"{WAITING_FOR_ONE_PEER} log-ins from {peer} wait already; try again in 1 s.",
                retry_after=1,
            )
        self._waiting[peer] += 1
        try:
            yield
        finally:
            self._waiting[peer] -= 1
            if not self._waiting[peer]:
                del self._waiting[peer]

    async def _recognised(self, name: str, password: str, peer: str) -> Account:
        # One at a time for each guesser: attempts sent at once would all pass before the first
        # of them has failed.
        turn = self._turns.setdefault((peer, name), asyncio.Lock())
        async with turn:
            if wait := self._throttle.wait_s(peer, name, now=self._now()):
                raise TooManyAttemptsError(
                    f"Too many failed log-ins; try again in {wait} s.", retry_after=wait
                )
            account = await self._accounts.get(name)
            known = account.password_hash if account is not None else None
            if not await self._passwords.verify(known, password) or account is None:
                self._throttle.failed(peer, name, now=self._now())
                raise _wrong()
            self._throttle.succeeded(peer, name)
            return account

    async def session(self, token: str) -> Session | None:
        """The session that the token opens; None: there is none, or it has been idle too long."""
        token_hash = _hashed_token(token)
        found = await self._accounts.session(token_hash)
        if found is None:
            return None
        name, role, seen_at = found
        idle = self._now() - seen_at
        if idle >= self.idle_s:
            return None
        # A negative time: the clock was set back; count from here.
        if idle not in range(TOUCH_S) and await self._touched(token_hash):
            return Session(name, role, self.idle_s, touched=True)
        return Session(name, role, self.idle_s - max(0, idle))

    async def _touched(self, token_hash: str) -> bool:
        """Note the session's use; whoever only looks is not refused where no note can be made."""
        if self._now() in range(self._untouched_at, self._untouched_at + TOUCH_S):
            return False
        try:
            await self._accounts.touch_session(token_hash, now=self._now())
        except (ApplianceError, DatabaseError) as error:
            # Each try may wait for a lock, so others are spared it for a while.
            self._untouched_at = self._now()
            _log.warning("that a session is in use could not be noted: %s", error)
            return False
        return True

    async def log_out(self, token: str) -> None:
        """End the session; nothing happens if it has ended already."""
        await self._accounts.close_session(_hashed_token(token))

    async def _hashed(self, password: str) -> str:
        if len(password) not in PASSWORD_LENGTHS:
            raise AccountError(
                f"the password must have {PASSWORD_LENGTHS[0]} to {PASSWORD_LENGTHS[-1]} characters"
            )
        return await self._passwords.hash(password)


def _hashed_token(token: str) -> str:
    # 160 random bits need no slow hash.
    return hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()


def _unknown(name: str) -> AccountError:
    return AccountError(f"there is no user {name}; `spsd user list` shows all")


def _wrong() -> UnauthenticatedError:
    return UnauthenticatedError("The user name or the password is wrong.")
