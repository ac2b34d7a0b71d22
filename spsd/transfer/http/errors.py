"""What aiohttp's client raises, under our own names and with what a person needs to know."""

import errno
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from urllib.parse import urlsplit

import aiohttp

from spsd.failures import FailureCode, OriginError
from spsd.transfer.http.tls import tls_reason


@contextmanager
def as_origin_errors(url: str, proxy: str | None = None) -> Iterator[None]:
    """Rename what goes wrong between us and the origin of ``url``, or the proxy on the way to it.

    Raises:
        OriginError: with the code for it, and the host as evidence, and the proxy if it is used.
    """
    try:
        yield
    except (aiohttp.ClientError, ssl.SSLError, OSError, TimeoutError, ValueError) as error:
        host = urlsplit(url).hostname or ""
        if proxy is None:
            raise _named(error, {"host": host}) from error
        where = {"host": host, "proxy": address_of(proxy)}
        plain = urlsplit(url).scheme != "https"
        named = _by_proxy(error, where, plain=plain) or _named(error, where)
        raise named from error


def address_of(proxy: str) -> str:
    """The proxy's host and port, and nothing secret."""
    return urlsplit(proxy).netloc.rpartition("@")[2]


def cut_off(url: str) -> OriginError:
    """The connection ended before the body did."""
    return _cut_off({"host": urlsplit(url).hostname or ""})


def _cut_off(where: Mapping[str, str]) -> OriginError:
    what = f"{where['host']} closed the connection before the end"
    return OriginError(FailureCode.CUT_OFF, what, where)


def proxy_refusal(status: int, where: Mapping[str, str]) -> OriginError:
    """What an answer of the proxy's own means."""
    told = f"{status} {HTTPStatus(status).phrase}" if status in _STATUSES else str(status)
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        what = f"the proxy {where['proxy']} does not take the user or password ({told})"
        return OriginError(FailureCode.PROXY_AUTH, what, where, transient=False)
    what = f"the proxy {where['proxy']} makes no connection to {where['host']} ({told})"
    return OriginError(FailureCode.PROXY, what, where, transient=status >= 500)


_STATUSES = frozenset(HTTPStatus)


def _by_proxy(error: Exception, where: Mapping[str, str], *, plain: bool) -> OriginError | None:
    """The error if it is the proxy's, None if it is the origin's beyond it."""
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
        # Without a tunnel the proxy itself is what answers.
        case aiohttp.ClientResponseError() if plain or error.request_info.method == "CONNECT":
            what = f"the proxy {name} does not speak HTTP: {error.message}"
        case _:
            return None
    return OriginError(FailureCode.PROXY, what, where)


def _named(error: Exception, where: Mapping[str, str]) -> OriginError:
    host = where["host"]
    match error:
        case aiohttp.ClientConnectorDNSError():
            reason = error.os_error.strerror or "no answer"
            return OriginError(FailureCode.DNS, f"{host} cannot be resolved: {reason}", where)
        # Before the policy's: OpenSSL's own code for any failure is 1, which is EPERM.
        case aiohttp.ClientConnectorCertificateError() | ssl.SSLError() | aiohttp.ClientSSLError():
            return OriginError(
                FailureCode.TLS, f"TLS with {host} failed: {tls_reason(error)}", where
            )
        case aiohttp.ClientConnectorError() if error.os_error.errno == errno.EPERM:
            what = f"connecting to {host} is not allowed: {error.os_error.strerror}"
            return OriginError(FailureCode.POLICY, what, where, transient=False)
        case aiohttp.ConnectionTimeoutError():
            return OriginError(FailureCode.REFUSED, f"{host} does not answer in time", where)
        case aiohttp.ClientConnectorError():
            reason = error.os_error.strerror or str(error.os_error)
            return OriginError(FailureCode.REFUSED, f"no connection to {host}: {reason}", where)
        case TimeoutError():
            return OriginError(FailureCode.STALL, f"{host} sends nothing", where)
        case aiohttp.ClientPayloadError():
            # aiohttp's own words name a status of 400, which nobody has sent.
            return _cut_off(where)
        case aiohttp.ClientResponseError():
            # aiohttp points into the line it could not read, on several lines of its own.
            what = f"{host} does not speak HTTP: {' '.join(error.message.split())}"
            return OriginError(FailureCode.PROTOCOL, what, where)
        case aiohttp.InvalidURL():
            # Not the whole of it: it repeats the URL, which may be a signed one.
            what = f"the URL cannot be requested: {error.description or 'it is not valid'}"
            return OriginError(FailureCode.PROTOCOL, what, where, transient=False)
        case _:
            reason = str(error) or type(error).__name__
            return OriginError(FailureCode.CUT_OFF, f"{host} broke off: {reason}", where)
