"""Black-box tests of a server of this API: which of the known facts hold for it.

A fact is a row: a sentence, its mark (how well it is known), what a trial needs, and the check that
tries it. ``facts.FACTS`` has all facts; ``run.run`` tries them one by one.

This module imports nothing, so that the command can report which package is missing.
"""
