"""Requests that are no use of a session, because a program sends them without a person.

A page that stays open requests changes without end, and would keep its session without end.
Therefore requests that wait for changes never renew a session, and neither do those that a client
marks with :data:`BACKGROUND`, such as the polls of the dashboard. A client that leaves the mark out
renews its session, up to the longest duration of any session. (docs/decisions/0040)
"""

from aiohttp import hdrs, web

from spsd.web.contract import EVENT_STREAM

BACKGROUND = "Spsd-Background"
_READS = frozenset({hdrs.METH_GET, hdrs.METH_HEAD})


def is_background(request: web.Request) -> bool:
    """Whether the request is marked, is for an event stream, or waits for a change."""
    waits = request.method in _READS and "wait" in request.query
    return waits or BACKGROUND in request.headers or accepts_events(request)


def accepts_events(request: web.Request) -> bool:
    """Whether a GET request accepts an event stream."""
    if request.method != hdrs.METH_GET:
        return False
    ranges = ",".join(request.headers.getall(hdrs.ACCEPT, [])).split(",")
    # */* does not select the stream: clients that accept anything expect the document.
    return any(each.partition(";")[0].strip().lower() == EVENT_STREAM for each in ranges)
