"""The hostile origin on its own thread, for callers without an event loop."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Self, TypeVar

from spsd.testing.origin.acts import Act
from spsd.testing.origin.record import RequestRecord
from spsd.testing.origin.server import Origin

T = TypeVar("T")


class ThreadedOrigin:
    """An origin that runs on its own thread, from `start` (or `with`) until `close`.

    Its methods may be called from any thread.
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
        """Start the thread and return when the origin listens.

        Raises:
            OSError: The origin cannot listen on its address and port.
        """
        self._thread.start()
        try:
            self._ready.result()
        except BaseException:
            # Otherwise `close` could find the thread still running and wait for its event loop.
            self._thread.join()
            raise
        return self

    def close(self) -> None:
        """Stop listening, end every connection and the thread; no effect if already closed.

        Raises:
            BaseExceptionGroup: The origin itself failed while it served a connection.
        """
        if self._thread.is_alive():
            self._ready.result().call_soon_threadsafe(self._stop.set)
            self._thread.join()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    @property
    def requests(self) -> list[RequestRecord]:
        """Return the records of the requests so far; the current one continues to count bytes."""
        # On the origin's thread: a client that has read a response must find all of it counted.
        return self._on_thread(lambda: list(self._origin.requests))

    @property
    def bytes_sent(self) -> int:
        """Return the number of body bytes sent for all requests."""
        return sum(record.sent for record in self.requests)

    def url(self, path: str) -> str:
        """Return the URL of the object at this path."""
        return self._origin.url(path)

    def script(self, *acts: Act) -> None:
        """Replace the acts of the script that are left."""
        self._on_thread(lambda: self._origin.script(*acts))

    def swap(self, path: str, content: bytes, *, keep_etag: bool = False) -> None:
        """Replace an object's content, under a new ETag unless `keep_etag` is set."""
        self._on_thread(lambda: self._origin.swap(path, content, keep_etag=keep_etag))

    def wait_for_requests(self, n: int, *, timeout_s: float) -> None:
        """Wait until at least n requests have been received.

        Raises:
            TimeoutError: Fewer requests were received within `timeout_s` seconds.
        """
        if len(self._origin.requests) >= n:
            return  # even with a timeout of 0
        loop = self._ready.result()
        waiting = asyncio.run_coroutine_threadsafe(self._origin.wait_for_requests(n), loop)
        try:
            waiting.result(timeout_s)
        finally:
            waiting.cancel()

    def _on_thread(self, call: Callable[[], T]) -> T:
        if not self._thread.is_alive():
            return call()

        async def called() -> T:
            return call()

        return asyncio.run_coroutine_threadsafe(called(), self._ready.result()).result()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - raised again by `start` or `close`
            if self._ready.done():
                self._failure = error
            else:
                self._ready.set_exception(error)

    async def _serve(self) -> None:
        async with self._origin:
            self._ready.set_result(asyncio.get_running_loop())
            await self._stop.wait()
