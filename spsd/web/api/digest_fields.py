"""The header fields with which a client states the digest of an upload.

``Repr-Digest`` is the standard field (RFC 9530 section 3); ``X-Checksum-Sha256`` is ours.
"""

from typing import cast

import http_sf

from spsd.digest import Sha256, parse_sha256
from spsd.errors import InvalidRequestBodyError

REPR_DIGEST = "Repr-Digest"
X_CHECKSUM = "X-Checksum-Sha256"
REPR_DIGEST_LIMIT = 4096
"""Longest accepted ``Repr-Digest``, in characters.

http-sf parses in linear time on the event loop: about 5 ms for this length, but more than a second
for the 1 MiB that aiohttp admits in several header lines.
"""
_ALGORITHM = "sha-256"
_SHA256_BYTES = 32


def expected_digest(repr_digest: str | None, x_checksum: str | None) -> Sha256 | None:
    """The SHA-256 that the two fields state; None if neither states one.

    Raises:
        InvalidRequestBodyError: a field is malformed, or the fields state different digests.
    """
    standard = None if repr_digest is None else parse_repr_digest(repr_digest)
    plain = None if x_checksum is None else parse_sha256(x_checksum, field=X_CHECKSUM)
    if standard is not None and plain is not None and standard != plain:
        raise InvalidRequestBodyError(
            f"`{REPR_DIGEST}` and `{X_CHECKSUM}` state different digests: {standard} and {plain}.",
            field=REPR_DIGEST,
        )
    return standard or plain


def parse_repr_digest(field: str) -> Sha256 | None:
    """The member ``sha-256`` of a ``Repr-Digest`` value; None if it has only other algorithms.

    If a key occurs more than once, its last value counts (RFC 9651 section 4.2.2). Parameters are
    ignored.

    Raises:
        InvalidRequestBodyError: the value is longer than ``REPR_DIGEST_LIMIT``, is not a dictionary
            of byte sequences, or its member ``sha-256`` does not have 32 bytes.
    """
    digest = _byte_sequences(field.strip(" \t")).get(_ALGORITHM)
    if digest is None:
        return None
    if len(digest) != _SHA256_BYTES:
        raise _invalid(
            f"its member `{_ALGORITHM}` has {len(digest)} bytes instead of {_SHA256_BYTES}"
        )
    return Sha256(digest.hex())


def _byte_sequences(field: str) -> dict[str, bytes]:
    if len(field) > REPR_DIGEST_LIMIT:
        raise _invalid(f"it is longer than {REPR_DIGEST_LIMIT} characters")
    # RFC 9651 section 4.2: a value that is not ASCII is malformed. (aiohttp decodes header lines as
    # UTF-8, and a byte that is not UTF-8 to a surrogate.)
    if not field.isascii():
        raise _invalid("it has a character that is not ASCII")
    # RFC 9530 section 3: the field is a dictionary (RFC 9651 section 3.2).
    try:
        parsed = http_sf.parse(field.encode("ascii"), tltype="dictionary")
    except http_sf.StructuredFieldError as error:
        # The library's sentence quotes the value at any length; its position is enough.
        raise _invalid(
            f"it is not a dictionary of RFC 9651 (error at position {error.position})"
        ) from error
    sequences: dict[str, bytes] = {}
    # The declared type is a union of all three kinds of fields. A dictionary has in fact a pair of
    # value and parameters for each key; the value of an inner list is a list.
    for key, (value, _) in cast(dict[str, tuple[object, object]], parsed).items():
        # RFC 9530 section 3: each value is a byte sequence. This is checked for other algorithms
        # too: the client made a mistake, and its digest must not be ignored silently.
        if not isinstance(value, bytes):
            raise _invalid(f"its member `{key}` is not a byte sequence")
        sequences[key] = value
    return sequences


def _invalid(why: str) -> InvalidRequestBodyError:
    return InvalidRequestBodyError(
        f"`{REPR_DIGEST}` is invalid: {why}. RFC 9530 requires the form `sha-256=:BASE64:`.",
        field=REPR_DIGEST,
    )
