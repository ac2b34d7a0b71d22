"""The errors of aiohttp's client as OriginErrors: a failure code, a sentence and the evidence."""

import errno
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from urllib.parse import urlsplit

import aiohttp

from spsd.failures import FailureCode, OriginError
from spsd.transfer.http.tls import tls_reason
from spsd.transfer.rules.url import authority


@contextmanager
def as_origin_errors(url: str, proxy: str | None = None) -> Iterator[None]:
    """Translate errors of a request to ``url``, and of the proxy if one is used.

    Raises:
        OriginError: with the failure code, and the host as evidence, and the proxy if one is used.
    """
    try:
        yield
    except (aiohttp.ClientError, ssl.SSLError, OSError, TimeoutError, ValueError) as error:
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
            what = f"the proxy {name} does not speak HTTP: {error.message}"
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
        case aiohttp.ClientPayloadError():
            # aiohttp's own message names a status 400 that the origin has not sent.
            return _cut_off(where)
        case aiohttp.ClientResponseError():
            # aiohttp's message has several lines, with a mark under the text it could not parse.
            what = f"{host} does not speak HTTP: {' '.join(error.message.split())}"
            return OriginError(FailureCode.PROTOCOL, what, where)
        case aiohttp.InvalidURL():
            # Only the description: the message contains the URL, which may be a signed one.
            what = f"the URL cannot be requested: {error.description or 'it is not valid'}"
            return OriginError(FailureCode.PROTOCOL, what, where, transient=False)
        case _:
            reason = str(error) or type(error).__name__
            return OriginError(FailureCode.CUT_OFF, f"{host} broke off: {reason}", where)
