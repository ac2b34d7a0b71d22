"""``spsctl``: the API from a terminal. It knows the wire and nothing of the daemon."""
