"""For how long clients are waited for, once their request has begun; tests are less patient."""

from dataclasses import dataclass

from aiohttp import web


@dataclass(frozen=True, slots=True, kw_only=True)
class WebLimits:
    """In seconds, where nothing else is said."""

    whole_s: float = 30.0
    """For a JSON body: it has 64 KiB at most, so it needs a time and no rate."""

    upload_idle_s: float = 60.0
    """How long a client may send nothing of an image before it is dropped, and over which its rate
    is measured."""

    events_keep_s: float = 15.0
    """After so long without an event a comment is sent, and the reader's session has to be one
    still."""


LIMITS = web.AppKey("limits", WebLimits)
