"""A stateful Hypothesis test of a server that speaks the API, to inherit from.

Rules do what a client, an origin and an accident may do, in any order; after each of them a look
at the server is compared with a small model (`spsd.testing.model`). `FirmwareMachine.TestCase` is
a test for unittest and pytest; `run_state_machine_as_test` runs a subclass with settings.
"""

from hypothesis import strategies as st
from hypothesis.stateful import initialize

from spsd.testing.machine.accidents import Accidents
from spsd.testing.machine.base import ServerMachine
from spsd.testing.machine.downloads import Downloads
from spsd.testing.machine.images import Images
from spsd.testing.machine.sessions import Sessions
from spsd.testing.origin import Act
from spsd.testing.strategies import curable_scripts

__all__ = ["FirmwareMachine", "ServerMachine"]


class FirmwareMachine(Accidents, Downloads, Images, Sessions):
    """All rules, against a daemon of each run's own unless `begin` says otherwise."""

    @initialize(
        uploads=st.lists(st.integers(0, 3), max_size=2, unique=True),
        image=st.integers(0, 3),
        script=curable_scripts(20_000),
    )
    def begin_with_a_job(self, uploads: list[int], image: int, script: tuple[Act, ...]) -> None:
        """Some slots are full, and a download is under way: less would be dull."""
        self.begin_run()
        for number in uploads:
            self.put(number, checked=True)
            self.every_promise_is_kept()
        self.origin.script(*script)
        self.note(f"the origin plays {script}")
        self.put_in_the_queue(self.order(image, wrong=False))
