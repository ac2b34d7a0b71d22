"""A stateful Hypothesis test of a server that speaks the API, to inherit from.

Rules do what a client, an origin and an accident may do, in any order; after each of them a look
at the server is compared with a small model (`spsd.testing.model`). `FirmwareMachine.TestCase` is
a test for unittest and pytest; `run_state_machine_as_test` runs a subclass with settings.
"""

from spsd.testing.machine.accidents import Accidents
from spsd.testing.machine.base import ServerMachine
from spsd.testing.machine.downloads import Downloads
from spsd.testing.machine.images import Images
from spsd.testing.machine.sessions import Sessions

__all__ = ["FirmwareMachine", "ServerMachine"]


class FirmwareMachine(Accidents, Downloads, Images, Sessions):
    """All rules, against a daemon of each run's own unless `begin` says otherwise."""
