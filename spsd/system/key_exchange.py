"""The key exchange of the server's TLS: over elliptic curves alone.

Over the finite field ffdhe8192 (RFC 7919) one ClientHello, which costs its sender nothing, takes
hundreds of times as long as over a curve. OpenSSL accepts that group unless the groups are named,
and Python before 3.15 can name one only: P-256, which every client of TLS 1.3 must have (RFC 8446
section 9.1). Several are named by OpenSSL's own function, where it can be called
(docs/decisions/0037).
"""

import _ssl
import ctypes
import logging
import ssl
import sys
from typing import Final

_log = logging.getLogger(__name__)
GROUPS: Final = ("X25519MLKEM768", "X25519", "P-256", "P-384")
"""The first one is a hybrid with ML-KEM; OpenSSL has it since 3.5."""
_CIPHERS_OF_TLS_1_2: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
_SET_GROUPS_LIST: Final = 92
"""``SSL_CTRL_SET_GROUPS_LIST`` of openssl/ssl.h: SSL_CTX_set1_groups_list is a macro for it."""
_KNOWN_LAYOUT: Final = ((3, 11), (3, 14))
"""First and last Python whose ``SSLContext`` begins with the pointer to its ``SSL_CTX``."""


def limit_key_exchange(context: ssl.SSLContext, groups: tuple[str, ...] = GROUPS) -> None:
    """Allow these groups alone, without the first one if OpenSSL does not have it.

    If a list of groups cannot be set, P-256 alone is allowed.
    """
    context.set_ciphers(_CIPHERS_OF_TLS_1_2)
    if not (_set_groups(context, groups) or _set_groups(context, groups[1:])):
        context.set_ecdh_curve("prime256v1")
        _log.info("TLS exchanges keys over P-256 alone: no list of groups can be set")


def _set_groups(context: ssl.SSLContext, groups: tuple[str, ...]) -> bool:
    """Whether the groups are now those; if not, the context is unchanged."""
    version = sys.version_info[:2]
    if sys.implementation.name != "cpython" or not _KNOWN_LAYOUT[0] <= version <= _KNOWN_LAYOUT[1]:
        return False
    try:
        openssl = ctypes.CDLL(_ssl.__file__)
        control, options = openssl.SSL_CTX_ctrl, openssl.SSL_CTX_get_options
    except (OSError, AttributeError):  # OpenSSL is a part of the interpreter
        return False
    control.restype = ctypes.c_long
    control.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_char_p)
    options.restype = ctypes.c_uint64
    options.argtypes = (ctypes.c_void_p,)
    # The pointer follows the head that every object has.
    pointer = ctypes.c_void_p.from_address(id(context) + object.__basicsize__)
    if options(pointer) != context.options & 2**64 - 1:
        return False
    result: int = control(pointer, _SET_GROUPS_LIST, 0, ":".join(groups).encode())
    # A failure stays in OpenSSL's queue of errors, where Python would take it for one of its own.
    openssl.ERR_clear_error()
    return result == 1
