"""Use cases: what spsd does, with every effect behind a port."""
