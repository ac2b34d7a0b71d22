"""Limits for a client after the head of its request; tests use smaller ones."""

from dataclasses import dataclass, field

from aiohttp import web


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowerShares:
    """The most event streams and waiting requests at the same time."""

    total: int = 256
    """Of all clients together: half of the connections that the server accepts."""
    account: int = 128
    session: int = 32
    """Several tabs of one browser have one session."""
    admins: int = 32
    """The part of ``total`` that viewers cannot use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebLimits:
    """Times are in seconds."""

    body_s: float = 30.0
    """Until a JSON body is complete: it has at most 64 KiB, so no rate is needed."""

    upload_idle_s: float = 60.0
    """Longest pause of an upload, and the window over which its rate is measured."""

    event_keepalive_s: float = 15.0
    """Interval of the comments in a quiet event stream (HTML standard, section 9.2.7); the session
    is checked as often."""

    followers: FollowerShares = field(default_factory=FollowerShares)


LIMITS = web.AppKey("limits", WebLimits)
