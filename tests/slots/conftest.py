"""The bench of one job (tests/bench.py), for the tests here."""

from tests.bench import bench, content

__all__ = ["bench", "content"]
