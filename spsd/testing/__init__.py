"""Test tools that others can install with `pip install spsd[testing]`.

- `origin`: a hostile origin, a file server that misbehaves by a script
- `daemon`: a real daemon in its own process and directory, and `client`, a client of its API
- `plugin`: both as fixtures of pytest
- `strategies`, `machine` and `model`: tests with Hypothesis
- `conformance`: the command `spsd-conformance`
"""
