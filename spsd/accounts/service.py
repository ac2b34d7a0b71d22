"""Accounts, log-in and sessions."""

import asyncio
import hashlib
import logging
import re
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from weakref import WeakValueDictionary

from spsd.accounts.model import Account, Role, Session, SessionLimits, Throttle
from spsd.accounts.ports import AccountRepository, PasswordHasher
from spsd.clock import Now
from spsd.errors import AccountError, TooManyAttemptsError, UnauthenticatedError
from spsd.failures import ApplianceError
from spsd.storage.faults import DatabaseError

_log = logging.getLogger(__name__)
TOUCH_S = 15
"""Seconds between two records of a session's use: each record is a durable write."""
MAX_WAITING_PER_PEER = 64
"""Log-ins of one address that may wait for their password check; further ones are refused. This
bounds the number of checks for which a log-in from another address has to wait."""
PASSWORD_LENGTHS = range(1, 1025)
ADVISED_LENGTH = 8
"""A shorter password is accepted with a warning: the decision is the administrator's."""
_ID_LENGTH = 16
_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class LogIn:
    """A new session and its token. The token is returned once; only its hash is stored."""

    token: str
    session: Session


class Accounts:
    """The use cases behind ``/api/authentication`` and ``spsd user``.

    Sessions end by ``limits``.
    """

    def __init__(
        self,
        accounts: AccountRepository,
        passwords: PasswordHasher,
        *,
        limits: SessionLimits,
        now: Now,
    ) -> None:
        self._accounts = accounts
        self._passwords = passwords
        self._throttle = Throttle()
        self._log_in_locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = (
            WeakValueDictionary()
        )
        self._waiting: Counter[str] = Counter()
        self._now = now
        self._touch_failed_at = -TOUCH_S
        self.limits = limits

    async def add(self, name: str, password: str, role: Role) -> None:
        """Add an account.

        Raises:
            AccountError: the name is taken or not allowed, or the password is empty or too long.
        """
        if _NAME.fullmatch(name) is None:
            raise AccountError(
                f"{name!r} cannot be a user name: use 1 to 64 letters, digits and . _ @ -"
            )
        account = Account(name, role, await self._hash_password(password))
        if not await self._accounts.add(account, now=self._now()):
            raise AccountError(
                f"the user {name} exists already; `spsd user password {name}` changes the password"
            )

    async def set_password(self, name: str, password: str) -> None:
        """Change a password and end the account's sessions.

        Raises:
            AccountError: there is no such account, or the password is empty or too long.
        """
        if not await self._accounts.set_password_hash(name, await self._hash_password(password)):
            raise _no_such_account(name)

    async def remove(self, name: str) -> None:
        """Remove an account with its sessions.

        Raises:
            AccountError: there is no such account.
        """
        if not await self._accounts.remove(name):
            raise _no_such_account(name)

    async def list(self) -> Sequence[Account]:
        """Every account, sorted by name."""
        return await self._accounts.list()

    async def log_in(self, name: str, password: str, *, peer: str) -> LogIn:
        """Open a session for the right name and password.

        Raises:
            UnauthenticatedError: the name or the password is wrong; the error does not show which.
            TooManyAttemptsError: ``peer`` had too many failures with this name, or has too many
                log-ins waiting. The password was not checked.
        """
        with self._queued(peer):
            account = await self._verified_account(name, password, peer)
        now, limits = self._now(), self.limits
        await self._accounts.close_ended_sessions(
            used_before=now - limits.idle_s, opened_before=now - limits.longest_s
        )
        token = secrets.token_hex(20)
        token_hash = _hash_token(token)
        if not await self._accounts.open_session(name, token_hash, now=now):
            raise _wrong_credentials()  # the account was removed since the check
        remaining_s = min(limits.idle_s, limits.longest_s)
        session = Session(name, account.role, remaining_s, touched=True, id=token_hash[:_ID_LENGTH])
        return LogIn(token, session)

    @contextmanager
    def _queued(self, peer: str) -> Iterator[None]:
        if self._waiting[peer] >= MAX_WAITING_PER_PEER:
            raise TooManyAttemptsError(
                f"{MAX_WAITING_PER_PEER} log-ins from {peer} already wait; try again in 1 s.",
                retry_after=1,
            )
        self._waiting[peer] += 1
        try:
            yield
        finally:
            self._waiting[peer] -= 1
            if not self._waiting[peer]:
                del self._waiting[peer]

    async def _verified_account(self, name: str, password: str, peer: str) -> Account:
        # One check at a time for each (peer, name): otherwise many attempts sent at the same time
        # would all pass the throttle before the first of them has failed.
        lock = self._log_in_locks.setdefault((peer, name), asyncio.Lock())
        async with lock:
            if wait := self._throttle.wait_s(peer, name, now=self._now()):
                raise TooManyAttemptsError(
                    f"Too many failed log-ins; try again in {wait} s.", retry_after=wait
                )
            account = await self._accounts.get(name)
            password_hash = account.password_hash if account is not None else None
            if not await self._passwords.verify(password_hash, password) or account is None:
                self._throttle.failed(peer, name, now=self._now())
                raise _wrong_credentials()
            self._throttle.succeeded(peer, name)
            return account

    async def session(self, token: str, *, renew: bool = True) -> Session | None:
        """The session of the token; None: there is none, or it has ended.

        With ``renew`` this is a use of the session. A use is recorded at most every
        :data:`TOUCH_S` seconds; the result then is ``touched``.
        """
        token_hash, now = _hash_token(token), self._now()
        stored = await self._accounts.session(token_hash)
        if stored is None or self.limits.remaining_s(stored, now=now) <= 0:
            return None
        # A time in the future means that the clock was set back. That is corrected in any case: the
        # session would last until the clock is there again.
        set_back = max(stored.seen_at, stored.created_at) > now
        due = renew and now - stored.seen_at >= TOUCH_S
        touched = (due or set_back) and await self._touch(token_hash)
        if touched:
            stored = replace(stored, seen_at=now)
        remaining_s = self.limits.remaining_s(stored, now=now)
        return Session(stored.account, stored.role, remaining_s, touched, token_hash[:_ID_LENGTH])

    async def _touch(self, token_hash: str) -> bool:
        """Record the session's use; False: it is not recorded, and the request is served anyway."""
        if self._now() in range(self._touch_failed_at, self._touch_failed_at + TOUCH_S):
            return False
        try:
            await self._accounts.touch_session(token_hash, now=self._now())
        except (ApplianceError, DatabaseError) as error:
            # Each try may wait for a lock of the database: no further try for TOUCH_S seconds.
            self._touch_failed_at = self._now()
            _log.warning("the use of a session could not be recorded: %s", error)
            return False
        return True

    async def log_out(self, token: str) -> None:
        """End the session of the token; nothing happens if it has ended already."""
        await self._accounts.close_session(_hash_token(token))

    async def _hash_password(self, password: str) -> str:
        if len(password) not in PASSWORD_LENGTHS:
            raise AccountError(
                f"the password must have {PASSWORD_LENGTHS[0]} to {PASSWORD_LENGTHS[-1]} characters"
            )
        return await self._passwords.hash(password)


def _hash_token(token: str) -> str:
    # 160 random bits need no slow hash.
    return hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()


def _no_such_account(name: str) -> AccountError:
    return AccountError(f"there is no user {name}; `spsd user list` shows all")


def _wrong_credentials() -> UnauthenticatedError:
    return UnauthenticatedError("The user name or the password is wrong.")
