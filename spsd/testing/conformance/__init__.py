"""A black-box run against a server of this API: which of the known facts hold there.

A fact is a row: what is said, how well it is known, what trying it needs, and the check that tries
it. :data:`FACTS` has them all; :func:`run` tries them one by one.
"""

from spsd.testing.conformance.fact import Fact, Mark, Need, Section
from spsd.testing.conformance.facts import FACTS
from spsd.testing.conformance.run import Result, Verdict, run
from spsd.testing.conformance.target import Reach, Target

__all__ = [
    "FACTS",
    "Fact",
    "Mark",
    "Need",
    "Reach",
    "Result",
    "Section",
    "Target",
    "Verdict",
    "run",
]
