"""Reads version and notes from the ISO 9660 volume of a staged or an installed image.

The bytes of an image may be anything: its digest is verified, its structure is not. So this reads
exactly what is needed, within bounds (:mod:`spsd.slots.iso9660.source`): the volume descriptors,
the root directory, the directory ``.disk``, and two small files. Any bytes give an answer.
"""
