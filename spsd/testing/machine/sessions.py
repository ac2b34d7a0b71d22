"""Rules for log-ins, for those who are not logged in, and for the clock that sessions go by."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from spsd.testing.client import Client
from spsd.testing.machine.base import (
    CLOCK_JUMPS,
    FETCH,
    LOG_IN,
    SLOTS,
    UPGRADE,
    UPLOAD,
    ServerMachine,
)
from spsd.testing.model import must

_UP = precondition(lambda machine: machine.up)


class Sessions(ServerMachine):
    """Who may ask."""

    @_UP
    @rule()
    def log_in_again(self) -> None:
        """A session of its own; the older one stays good until it is idle."""
        self.log_in()
        self.tried["log-ins"] += 1

    @_UP
    @rule()
    def log_out(self) -> None:
        """The cookie opens nothing any more."""
        answer = self.ask("DELETE", LOG_IN)
        must(answer.status == 200, f"no log-out: {answer.status}")
        answer = self.call("GET", FETCH)
        must(answer.status == 401, f"after the log-out: {answer.status}")
        self.log_in()

    @_UP
    @rule(
        call=st.sampled_from(
            [("GET", FETCH), ("POST", FETCH), ("GET", SLOTS), ("DELETE", f"{SLOTS}/1"),
             ("POST", UPLOAD), ("POST", UPGRADE)]
        ),
        cookie=st.sampled_from([None, "session_id=" + "0" * 40, "session_id="]),
    )  # fmt: skip
    def ask_anonymously(self, call: tuple[str, str], cookie: str | None) -> None:
        """Whoever is not logged in learns nothing and changes nothing."""
        client = Client(self.client.url, self.client.context, cookie=cookie)
        answer = client.call(*call, json_body={} if call[0] == "POST" else None)
        kind = answer.document["error"]["type"]
        must((answer.status, kind) == (401, "Unauthenticated"), f"{call}: {answer.status} {kind}")

    @precondition(lambda machine: machine.process is not None and machine.up)
    @rule(seconds=st.sampled_from(CLOCK_JUMPS))
    def the_clock_jumps(self, seconds: int) -> None:
        """Forwards, where sessions expire, or backwards, where none does."""
        self.jump(seconds)
