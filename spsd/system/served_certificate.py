"""The certificate that the running server presents, and its replacement without a restart."""

import asyncio
import logging
import ssl
from collections.abc import Callable

from spsd.errors import ConfigurationError, StateError
from spsd.system.certificate import Pair

_log = logging.getLogger(__name__)
CHECK_EVERY_S = 60.0
"""A check reads two small files. A clock that is set after the start takes effect that soon."""


class ServedCertificate:
    """Presents a pair in ``context``. All methods run in the event loop that makes the handshakes.

    ``obtain`` reads the pair from disk, and renews it first if it is self-signed; it blocks, and
    raises ConfigurationError or StateError.
    """

    def __init__(self, context: ssl.SSLContext, pair: Pair, obtain: Callable[[], Pair]) -> None:
        """``context`` presents ``pair`` already."""
        self.context = context
        self._pair = pair
        self._obtain = obtain

    async def read(self) -> Pair:
        """The pair on disk now, for :meth:`present`.

        Raises:
            ConfigurationError: it cannot be used.
            StateError: a self-signed pair cannot be written.
        """
        return await asyncio.to_thread(self._obtain)

    def present(self, pair: Pair) -> None:
        """Present the pair in new handshakes, and log its fingerprint if it is another one.

        Raises:
            StateError: the process has too many open files; the next :meth:`present` tries again.
        """
        if pair == self._pair:
            return
        try:
            pair.present(self.context)
        except OSError as error:
            raise StateError(f"the new certificate cannot be used: {error}") from error
        self._pair = pair
        _log.info("new certificate in use, SHA-256 fingerprint %s", pair.fingerprint)

    async def watch(self, every_s: float = CHECK_EVERY_S) -> None:
        """Check every ``every_s`` seconds whether there is another pair; until it is cancelled.

        A fault is logged once, and the previous pair stays in use.
        """
        logged = ""
        while True:
            await asyncio.sleep(every_s)
            try:
                self.present(await self.read())
                logged = ""
            except (ConfigurationError, StateError) as error:
                if str(error) != logged:
                    logged = str(error)
                    _log.error("the certificate was not renewed: %s", error)
