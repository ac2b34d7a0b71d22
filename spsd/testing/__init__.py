"""The harness others can install: a hostile origin to fetch from."""
