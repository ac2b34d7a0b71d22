"""The hostile origin on a thread of its own, for those who have no event loop."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Self, TypeVar

from spsd.testing.origin.acts import Act
from spsd.testing.origin.asked import Asked
from spsd.testing.origin.server import Origin

T = TypeVar("T")


class ThreadedOrigin:
    """An origin that is served from its own thread, from `with` or `start` on until `close`.

    It may be called from any thread.
    """

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._ready: Future[asyncio.AbstractEventLoop] = Future()
        self._stop = asyncio.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="hostile-origin", daemon=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> Self:
        """Listen; returns when that has begun.

        Raises:
            OSError: The port cannot be had.
        """
        self._thread.start()
        try:
            self._ready.result()
        except BaseException:
            # Else it may be alive for a moment yet, and whoever closes us would ask it to stop.
            self._thread.join()
            raise
        return self

    def close(self) -> None:
        """Stop listening, end every connection and the thread; harmless when closed.

        Raises:
            BaseExceptionGroup: The origin itself failed at a connection.
        """
        if self._thread.is_alive():
            self._ready.result().call_soon_threadsafe(self._stop.set)
            self._thread.join()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    @property
    def requests(self) -> list[Asked]:
        """Return the requests so far; the one under way goes on counting."""
        # In its thread: who has read an answer must find all of it counted.
        return self._in_its_thread(lambda: list(self._origin.requests))

    @property
    def bytes_sent(self) -> int:
        """Return how many body bytes went out in all."""
        return sum(asked.sent for asked in self.requests)

    def url(self, path: str) -> str:
        """Return the URL of the object at this path."""
        return self._origin.url(path)

    def script(self, *acts: Act) -> None:
        """Replace what is left of the script."""
        self._in_its_thread(lambda: self._origin.script(*acts))

    def swap(self, path: str, content: bytes, *, keep_etag: bool = False) -> None:
        """Put these bytes in an object's place, under a new ETag unless keep_etag is set."""
        self._in_its_thread(lambda: self._origin.swap(path, content, keep_etag=keep_etag))

    def wait_asked(self, n: int, *, timeout_s: float) -> None:
        """Wait until at least n requests have been received.

        Raises:
            TimeoutError: There were fewer in this time.
        """
        if len(self._origin.requests) >= n:
            return  # however little time there is
        loop = self._ready.result()
        waiting = asyncio.run_coroutine_threadsafe(self._origin.asked(n), loop)
        try:
            waiting.result(timeout_s)
        finally:
            waiting.cancel()

    def _in_its_thread(self, call: Callable[[], T]) -> T:
        if not self._thread.is_alive():
            return call()

        async def called() -> T:
            return call()

        return asyncio.run_coroutine_threadsafe(called(), self._ready.result()).result()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - it is raised again where it is seen
            if self._ready.done():
                self._failure = error
            else:
                self._ready.set_exception(error)

    async def _serve(self) -> None:
        async with self._origin:
            self._ready.set_result(asyncio.get_running_loop())
            await self._stop.wait()
