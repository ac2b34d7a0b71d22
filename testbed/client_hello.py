"""A ClientHello as bytes, for clients that send one without any cryptography of their own."""

import os

FFDHE8192 = 0x0104
X25519 = 0x001D
_SUITES = bytes.fromhex("130113021303")
_ALGORITHMS = bytes.fromhex("040308040401050308050501")


def client_hello(group: int, key: bytes, *, padding: int = 0) -> bytes:
    """A TLS 1.3 ClientHello with this group and key share alone (RFC 8446 section 4.1.2).

    ``padding`` is the number of bytes of a padding extension (RFC 7685).
    """
    share = _of(group, 2) + _sized(key, 2)
    extensions = (
        _extension(43, _sized(bytes.fromhex("0304"), 1))
        + _extension(10, _sized(_of(group, 2), 2))
        + _extension(13, _sized(_ALGORITHMS, 2))
        + _extension(51, _sized(share, 2))
        + (_extension(21, bytes(padding)) if padding else b"")
    )
    hello = (
        b"\x03\x03"
        + os.urandom(32)
        + _sized(os.urandom(32), 1)
        + _sized(_SUITES, 2)
        + _sized(b"\0", 1)
        + _sized(extensions, 2)
    )
    return b"\x16\x03\x01" + _sized(b"\x01" + _sized(hello, 3), 2)


def ffdhe8192_hello() -> bytes:
    """One with a valid key share of ffdhe8192 (RFC 7919): 4, a square, is in the subgroup."""
    return client_hello(FFDHE8192, _of(4, 1024))


def _of(number: int, size: int) -> bytes:
    return number.to_bytes(size, "big")


def _sized(content: bytes, size: int) -> bytes:
    return _of(len(content), size) + content


def _extension(kind: int, content: bytes) -> bytes:
    return _of(kind, 2) + _sized(content, 2)
