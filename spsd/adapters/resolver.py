"""Name look-ups that nobody has to wait for.

``getaddrinfo`` honours everything that an operator may have set up (``/etc/hosts``, nsswitch,
resolved), but nothing can interrupt it, and a thread of the loop's own pool is waited for at the
end: a DNS server that does not answer would hold up a polite stop. So each look-up has a daemon
thread, which ends by itself when libc gives up. One a connection attempt bounds their number.
"""

import asyncio
import socket
import threading
from contextlib import suppress

from aiohttp.abc import AbstractResolver, ResolveResult

_Found = list[ResolveResult] | OSError


class InterruptibleResolver(AbstractResolver):
    """Asks libc, and lets the one who asked go whenever they like."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The host's addresses, numeric, in libc's order.

        Raises:
            OSError: it has none, or nobody knows.
        """
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[_Found] = loop.create_future()

        def ask() -> None:
            found = _look_up(host, port, family)
            # The loop is closed if the daemon has ended meanwhile: nobody is there to be told.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_tell, answered, found)

        threading.Thread(target=ask, name=f"resolve {host}", daemon=True).start()
        found = await answered
        if isinstance(found, OSError):
            raise found
        return found

    async def close(self) -> None:
        """Nothing is held between look-ups."""


def _look_up(host: str, port: int, family: socket.AddressFamily) -> _Found:
    try:
        infos = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, family=family, flags=socket.AI_ADDRCONFIG
        )
    except (OSError, UnicodeError) as error:
        return error if isinstance(error, OSError) else OSError(None, str(error))
    return [
        ResolveResult(
            hostname=host,
            # A scope id (fe80::1%2) is part of the address.
            host=socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0],
            port=int(address[1]),
            family=kind,
            proto=protocol,
            flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        )
        for kind, _, protocol, _, address in infos
    ]


def _tell(answered: "asyncio.Future[_Found]", found: _Found) -> None:
    if not answered.done():
        answered.set_result(found)
