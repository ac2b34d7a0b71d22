"""Which event loop the daemon runs on."""

import asyncio
import importlib.util
from collections.abc import Callable
from typing import Literal

from spsd.domain.errors import ConfigurationError

Wanted = Literal["auto", "asyncio", "uvloop"]
LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def loop_factory(wanted: Wanted) -> LoopFactory:
    """The loop that the configuration wants; ``auto`` takes uvloop where it is installed.

    Raises:
        ConfigurationError: it wants uvloop, which is not installed.
    """
    installed = importlib.util.find_spec("uvloop") is not None
    if wanted == "uvloop" and not installed:
        raise ConfigurationError(
            '[server] event_loop is "uvloop", which is not installed: pip install "spsd[fast]", or '
            'set it to "auto"'
        )
    if wanted == "asyncio" or not installed:
        return asyncio.new_event_loop
    import uvloop  # noqa: PLC0415 - it may be missing

    return uvloop.new_event_loop
