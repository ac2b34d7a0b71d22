"""A black-box run against a server of this API: which of the known facts hold there.

A fact is a row: what is said, how well it is known, what trying it needs, and the check that tries
it. ``facts.FACTS`` has them all; ``run.run`` tries them one by one.

Nothing is imported here, so that the command can say which package is missing.
"""
