"""The errors of aiohttp's client as OriginErrors: a failure code, a sentence and the evidence.

Messages of libraries are not repeated, because they may quote what the origin sent: a cookie, or a
signed URL. Only these are: the fixed part of a parser's message (:func:`parser_reason`), the
system's description of an error number, and OpenSSL's reason.
"""

import errno
import os
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from urllib.parse import urlsplit

import aiohttp
from aiohttp import hdrs
from aiohttp.http_exceptions import HttpProcessingError

from spsd.failures import FailureCode, OriginError
from spsd.transfer.http.tls import tls_reason
from spsd.transfer.rules.url import authority

_LIBRARY_ERRORS = (
    aiohttp.ClientError,
    HttpProcessingError,
    ssl.SSLError,
    OSError,
    TimeoutError,
    ValueError,
)


@contextmanager
def as_origin_errors(url: str, proxy: str | None = None) -> Iterator[None]:
    """Translate errors of a request to ``url``, and of the proxy if one is used.

    Raises:
        OriginError: with the failure code, and the host as evidence, and the proxy if one is used.
    """
    try:
        yield
    except _LIBRARY_ERRORS as error:
        host = urlsplit(url).hostname or ""
        if proxy is None:
            raise _origin_error(error, {"host": host}) from error
        where = {"host": host, "proxy": authority(proxy)}
        plain = urlsplit(url).scheme != "https"
        translated = _proxy_error(error, where, plain=plain) or _origin_error(error, where)
        raise translated from error


def cut_off(url: str) -> OriginError:
    """The error for a connection that ended before the body did."""
    return _cut_off({"host": urlsplit(url).hostname or ""})


def _cut_off(where: Mapping[str, str]) -> OriginError:
    what = f"{where['host']} closed the connection before the end"
    return OriginError(FailureCode.CUT_OFF, what, where)


def proxy_refusal(status: int, where: Mapping[str, str]) -> OriginError:
    """The error for a response that the proxy itself made (RFC 9110 sections 15.5.8 and 9.3.6)."""
    status_text = f"{status} {HTTPStatus(status).phrase}" if status in _STATUSES else str(status)
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        what = f"the proxy {where['proxy']} does not accept the user or password ({status_text})"
        return OriginError(FailureCode.PROXY_AUTH, what, where, transient=False)
    what = f"the proxy {where['proxy']} makes no connection to {where['host']} ({status_text})"
    return OriginError(FailureCode.PROXY, what, where, transient=status >= 500)


_STATUSES = frozenset(HTTPStatus)


def _proxy_error(error: Exception, where: Mapping[str, str], *, plain: bool) -> OriginError | None:
    """The error if it is the proxy's; None if it is the origin's, behind the proxy."""
    name = where["proxy"]
    match error:
        case aiohttp.ClientHttpProxyError():
            return proxy_refusal(error.status, where)
        case aiohttp.ClientConnectorDNSError():
            reason = error.os_error.strerror or "no answer"
            what = f"the proxy {name} cannot be resolved: {reason}"
        case aiohttp.ClientProxyConnectionError():
            reason = error.os_error.strerror or str(error.os_error)
            what = f"no connection to the proxy {name}: {reason}"
        case aiohttp.ConnectionTimeoutError():
            what = f"the proxy {name} makes no connection in time"
        # Without a tunnel every response comes from the proxy itself.
        case aiohttp.ClientResponseError() if plain or error.request_info.method == "CONNECT":
            what = f"the proxy {name} does not speak HTTP{parser_reason(error.message)}"
        case HttpProcessingError() if plain:
            what = f"the proxy {name} sent a body that is not HTTP{parser_reason(error.message)}"
        case _:
            return None
    return OriginError(FailureCode.PROXY, what, where)


def _origin_error(error: Exception, where: Mapping[str, str]) -> OriginError:
    host = where["host"]
    match error:
        case aiohttp.ClientConnectorDNSError():
            reason = error.os_error.strerror or "no answer"
            return OriginError(FailureCode.DNS, f"{host} cannot be resolved: {reason}", where)
        # This case stands before that of the policy: OpenSSL's code for any failure is 1, which is
        # also EPERM.
        case aiohttp.ClientConnectorCertificateError() | ssl.SSLError() | aiohttp.ClientSSLError():
            return OriginError(
                FailureCode.TLS, f"TLS with {host} failed: {tls_reason(error)}", where
            )
        case aiohttp.ClientConnectorError() if error.os_error.errno == errno.EPERM:
            what = f"connecting to {host} is not allowed: {error.os_error.strerror}"
            return OriginError(FailureCode.POLICY, what, where, transient=False)
        case aiohttp.ConnectionTimeoutError():
            return OriginError(FailureCode.REFUSED, f"{host} does not respond in time", where)
        case aiohttp.ClientConnectorError():
            reason = error.os_error.strerror or str(error.os_error)
            return OriginError(FailureCode.REFUSED, f"no connection to {host}: {reason}", where)
        case TimeoutError():
            return OriginError(FailureCode.STALL, f"{host} sends nothing", where)
        case _:
            return _exchange_error(error, where)


def _exchange_error(error: Exception, where: Mapping[str, str]) -> OriginError:
    """The error of an exchange over a connection that was made."""
    host = where["host"]
    match error:
        case aiohttp.ClientPayloadError() | aiohttp.ServerDisconnectedError():
            return _cut_off(where)
        case aiohttp.ClientResponseError():
            what = f"{host} does not speak HTTP{parser_reason(error.message)}"
            return OriginError(FailureCode.PROTOCOL, what, where)
        case HttpProcessingError():
            what = f"{host} sent a body that is not HTTP{parser_reason(error.message)}"
            return OriginError(FailureCode.PROTOCOL, what, where)
        case aiohttp.InvalidURL():
            what = "the URL cannot be requested: it is not valid"
            return OriginError(FailureCode.PROTOCOL, what, where, transient=False)
        case _:
            what = f"{host} broke off: {_system_reason(error)}"
            return OriginError(FailureCode.CUT_OFF, what, where)


def _system_reason(error: Exception) -> str:
    """The system's description of the error, else the name of its type."""
    number = error.errno if isinstance(error, OSError) else None
    return type(error).__name__ if number is None else os.strerror(number)


_FIXED_PART = re.compile(
    r"(?:Bad status line:\s+)?([A-Z][\w ,'`:/-]{1,80}?):?\s+(b['\"].*)", re.DOTALL
)
"""A message of aiohttp's parsers: a sentence, then the line that was not understood, as bytes."""
_FIELD = re.compile(r"b['\"]([A-Za-z0-9-]{1,64})(?![A-Za-z0-9-])")
_FIELD_NAMES = frozenset(
    name.lower() for name in vars(hdrs).values() if isinstance(name, str) and name.istitle()
)


def parser_reason(message: str) -> str:
    """What a parser's message says without the bytes it quotes: ``": sentence (field Name)"``.

    Empty if nothing of the message is certain to be the parser's own. A field's name is repeated
    only if it is a well-known one.
    """
    match = _FIXED_PART.match(message.strip())
    if match is None:
        return ""
    field = _FIELD.match(match[2])
    known = field is not None and field[1].lower() in _FIELD_NAMES
    return f": {match[1]}" + (f" (field {field[1]})" if field is not None and known else "")
