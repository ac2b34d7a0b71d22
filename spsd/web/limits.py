"""Time limits for a client after the head of its request; tests use smaller ones."""

from dataclasses import dataclass

from aiohttp import web


@dataclass(frozen=True, slots=True, kw_only=True)
class WebLimits:
    """All limits are in seconds."""

    body_s: float = 30.0
    """Until a JSON body is complete: it has at most 64 KiB, so no rate is needed."""

    upload_idle_s: float = 60.0
    """Longest pause of an upload, and the window over which its rate is measured."""

    event_keepalive_s: float = 15.0
    """Interval of the comments in a quiet event stream (HTML standard, section 9.2.7); the session
    is checked as often."""


LIMITS = web.AppKey("limits", WebLimits)
