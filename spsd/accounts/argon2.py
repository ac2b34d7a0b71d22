"""Passwords as argon2id hashes."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from spsd.cancellation import to_completion

T = TypeVar("T")
AT_A_TIME = min(2, max(1, (os.cpu_count() or 1) // 2))
"""Half of the cores at the most: the other half answers, whoever logs in."""
TIME_COST = 2
MEMORY_KIB = 19 * 1024
"""With t=2, p=1: the smallest set that OWASP recommends. Two at a time stay under 40 MiB."""


class Argon2Passwords:
    """Hashes on threads of its own, a few at a time, so that a flood of log-ins starves nobody.

    On the loop's threads each of them would keep the memory of a hash for good. What a hash costs
    stands in the hash: :meth:`verify` takes those of any cost.
    """

    def __init__(self, *, time_cost: int = TIME_COST, memory_kib: int = MEMORY_KIB) -> None:
        self._hasher = PasswordHasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=1)
        self._threads = ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="spsd-password")

    async def aclose(self) -> None:
        """Wait for the hashes that have begun; the others are not made."""
        shutdown = partial(self._threads.shutdown, cancel_futures=True)
        await to_completion(asyncio.to_thread(shutdown))

    async def hash(self, password: str) -> str:
        """A salted hash in PHC string format."""
        return await self._on_thread(partial(self._hasher.hash, password))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """With None it takes as long and is false: nobody learns which names exist."""
        if password_hash is None:
            # argon2 checks a password by hashing it, so this is the same work.
            await self.hash(password)
            return False
        try:
            return await self._on_thread(partial(self._hasher.verify, password_hash, password))
        except (VerificationError, InvalidHashError):
            return False

    async def _on_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)
