"""The digest a client asks for: the name of an image and the only proof of it."""

import re
from typing import NewType

from spsd.errors import InvalidRequestBodyError

Sha256 = NewType("Sha256", str)
"""64 lower-case hexadecimal digits."""
_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)


def parse_sha256(text: str, *, field: str) -> Sha256:
    """Accept 64 hexadecimal digits in either case and give them in lower case.

    Raises:
        InvalidRequestBodyError: anything else; the error names ``field``.
    """
    lowered = text.lower()
    if _HEX.fullmatch(lowered) is None:
        what = (
            f"{len(text)} characters" if len(text) != 64 else "a character that is not hexadecimal"
        )
        raise InvalidRequestBodyError(
            f"`{field}` must be a SHA-256: 64 hexadecimal digits, but it has {what}.", field=field
        )
    return Sha256(lowered)
