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
CONCURRENT_HASHES = min(2, max(1, (os.cpu_count() or 1) // 2))
"""Hashes computed at the same time: at most half of the cores, so that log-ins leave the other
half to all other requests."""
TIME_COST = 2
MEMORY_KIB = 19 * 1024
"""With t=2 and p=1 this is the smallest parameter set that OWASP recommends. Two hashes at the same
time need less than 40 MiB."""


class Argon2Passwords:
    """Hashes passwords on its own threads, :data:`CONCURRENT_HASHES` at a time.

    A flood of log-ins therefore does not delay other work. The threads are not those of the event
    loop's executor, because each thread that has computed a hash keeps that hash's memory. The
    cost parameters are part of each hash, so :meth:`verify` accepts hashes of any cost.
    """

    def __init__(self, *, time_cost: int = TIME_COST, memory_kib: int = MEMORY_KIB) -> None:
        self._hasher = PasswordHasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=1)
        self._threads = ThreadPoolExecutor(CONCURRENT_HASHES, thread_name_prefix="spsd-password")

    async def aclose(self) -> None:
        """Wait for the hashes that are being computed; those that have not begun are cancelled."""
        shutdown = partial(self._threads.shutdown, cancel_futures=True)
        await to_completion(asyncio.to_thread(shutdown))

    async def hash(self, password: str) -> str:
        """Compute a salted argon2id hash; returns it in PHC string format."""
        return await self._on_thread(partial(self._hasher.hash, password))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether the password has this hash; False also for a string that is no argon2 hash.

        ``password_hash`` None means that there is no such account: the result is False after the
        same amount of work, so the response time does not reveal which names exist.
        """
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
