"""The SHA-256 that a client requests: it identifies an image, and alone verifies its content."""

import re
from typing import NewType

from spsd.errors import InvalidRequestBodyError

Sha256 = NewType("Sha256", str)
"""64 lower-case hexadecimal digits."""
_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)


def parse_sha256(text: str, *, field: str) -> Sha256:
    """Parse 64 hexadecimal digits in either case; give them in lower case.

    Raises:
        InvalidRequestBodyError: the text is no SHA-256; the error names ``field``.
    """
    lowered = text.lower()
    if _HEX.fullmatch(lowered) is None:
        problem = (
            f"{len(text)} characters" if len(text) != 64 else "a character that is not hexadecimal"
        )
        raise InvalidRequestBodyError(
            f"`{field}` must be a SHA-256: 64 hexadecimal digits, but it has {problem}.",
            field=field,
        )
    return Sha256(lowered)
