"""A stateful Hypothesis test of a server that speaks the API; test authors inherit from it.

Rules do what clients, an origin and faults may do, in any order. After each rule a snapshot of the
server is compared with a small model (`spsd.testing.model`). `FirmwareMachine.TestCase` is a test
for unittest and pytest; `run_state_machine_as_test` runs a subclass with settings.
"""

from hypothesis import strategies as st
from hypothesis.stateful import initialize

from spsd.testing.machine.base import ServerMachine
from spsd.testing.machine.downloads import Downloads
from spsd.testing.machine.faults import Faults
from spsd.testing.machine.images import Images
from spsd.testing.machine.sessions import Sessions
from spsd.testing.origin import Act
from spsd.testing.strategies import curable_scripts

__all__ = ["FirmwareMachine", "ServerMachine"]


class FirmwareMachine(Faults, Downloads, Images, Sessions):
    """All rules. Each run has its own daemon, unless `begin` is overridden."""

    @initialize(
        uploads=st.lists(st.integers(0, 3), max_size=2, unique=True),
        image=st.integers(0, 3),
        script=curable_scripts(20_000),
    )
    def begin_with_a_job(self, uploads: list[int], image: int, script: tuple[Act, ...]) -> None:
        """Fill some slots and start a download, so that the rules meet more than an idle server."""
        self.begin_run()
        for number in uploads:
            self.upload_image(number, checked=True)
            self.check_model()
        self.origin.script(*script)
        self.note(f"the origin's script: {script}")
        self.submit_job(self.new_job(image, wrong=False))
