"""Passwords as argon2id hashes."""

import asyncio
import os

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

AT_A_TIME = min(2, max(1, (os.cpu_count() or 1) // 2))
"""Half of the cores at the most: the other half answers, whoever logs in."""
_MEMORY_KIB = 19 * 1024
"""With t=2, p=1: the smallest set that OWASP recommends. Two at a time stay under 40 MiB."""


class Argon2Passwords:
    """Hashes off the loop, a few at a time, so that a flood of log-ins starves nobody."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=_MEMORY_KIB, parallelism=1)
        self._turns = asyncio.Semaphore(AT_A_TIME)

    async def hash(self, password: str) -> str:
        """A salted hash in PHC string format."""
        async with self._turns:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """With None it takes as long and is false: nobody learns which names exist."""
        if password_hash is None:
            # argon2 checks a password by hashing it, so this is the same work.
            await self.hash(password)
            return False
        async with self._turns:
            try:
                return await asyncio.to_thread(self._hasher.verify, password_hash, password)
            except (VerificationError, InvalidHashError):
                return False
