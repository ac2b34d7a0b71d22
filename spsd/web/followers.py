"""How many requests may follow changes at the same time: event streams, and requests that wait.

There is a limit for the appliance, and a share of it for each account and each session, so that no
client takes all of it from the others. Some of it is for admins only. (docs/decisions/0039)
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from spsd.accounts.model import Session
from spsd.errors import TooManyReadersError
from spsd.web.limits import FollowerShares

_ADVICE = (
    "Close some of them, send the request without `wait` and without `Accept: text/event-stream`, "
    "or try again later."
)


class Followers:
    """Counts the requests that follow changes, by session and by account."""

    def __init__(self, shares: FollowerShares) -> None:
        self._shares = shares
        self._total = 0
        self._by_session: Counter[str] = Counter()
        self._by_account: Counter[str] = Counter()

    @contextmanager
    def admitted(self, session: Session) -> Iterator[None]:
        """Within the context, one more request of the session follows changes.

        Raises:
            TooManyReadersError: a limit is reached; ``details["limit"]`` names it.
        """
        if (refusal := self.refusal(session)) is not None:
            raise refusal
        counts = ((self._by_session, session.id), (self._by_account, session.account))
        self._total += 1
        for counter, name in counts:
            counter[name] += 1
        try:
            yield
        finally:
            self._total -= 1
            for counter, name in counts:
                counter[name] -= 1
                if not counter[name]:
                    del counter[name]

    def refusal(self, session: Session) -> TooManyReadersError | None:
        """Why no further request of the session may follow changes; None: it may."""
        shares = self._shares
        if self._by_session[session.id] >= shares.session:
            return _refusal("session", shares.session, "this session")
        if self._by_account[session.account] >= shares.account:
            return _refusal("account", shares.account, f"the user {session.account}")
        if self._total >= shares.total:
            return _refusal("appliance", shares.total, "all users together")
        if not session.may_write() and self._total >= shares.total - shares.admins:
            most = shares.total - shares.admins
            return _refusal("viewers", most, "all users together; the rest is for admins")
        return None


def _refusal(limit: str, most: int, whose: str) -> TooManyReadersError:
    return TooManyReadersError(
        f"{most} event streams and requests that wait for changes are open, the most for {whose}. "
        f"{_ADVICE}",
        limit=limit,
        most=most,
    )


FOLLOWERS = web.AppKey("followers", Followers)
