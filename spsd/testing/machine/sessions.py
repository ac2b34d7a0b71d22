"""Rules for log-ins, for requests without a session, and for the clock of the sessions."""

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

_UP = precondition(lambda machine: machine.is_up)


class Sessions(ServerMachine):
    """Log in, log out, send requests without a session, and shift the clock."""

    @_UP
    @rule()
    def log_in_again(self) -> None:
        """Open another session; the older one stays valid until it has been idle for too long."""
        self.log_in()
        self.counts["log-ins"] += 1

    @_UP
    @rule()
    def log_out(self) -> None:
        """End the session; its cookie is refused from then on."""
        answer = self.request("DELETE", LOG_IN)
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
    def request_without_a_session(self, call: tuple[str, str], cookie: str | None) -> None:
        """A request without a valid session gets 401 and changes nothing."""
        client = Client(self.client.url, self.client.context, cookie=cookie)
        answer = client.call(*call, json_body={} if call[0] == "POST" else None)
        kind = answer.document["error"]["type"]
        must((answer.status, kind) == (401, "Unauthenticated"), f"{call}: {answer.status} {kind}")

    @precondition(lambda machine: machine.process is not None and machine.is_up)
    @rule(seconds=st.sampled_from(CLOCK_JUMPS))
    def the_clock_jumps(self, seconds: int) -> None:
        """Shift the clock forwards, where sessions may expire, or backwards, where none does."""
        self.shift_clock(seconds)
