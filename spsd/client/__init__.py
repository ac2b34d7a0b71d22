"""``spsctl``, the command-line client of the REST API.

It imports nothing of the daemon but :mod:`spsd.text`.
"""
