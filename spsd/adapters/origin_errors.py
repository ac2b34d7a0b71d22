"""What aiohttp's client raises, under our own names and with what a person needs to know."""

import errno
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import aiohttp

from spsd.domain.failure import FailureCode, OriginError


@contextmanager
def as_origin_errors(url: str) -> Iterator[None]:
    """Rename what goes wrong between us and the origin of ``url``.

    Raises:
        OriginError: with the code for it, and the host as evidence.
    """
    try:
        yield
    except (aiohttp.ClientError, ssl.SSLError, OSError, TimeoutError, ValueError) as error:
        raise _named(error, urlsplit(url).hostname or "") from error


def _named(error: Exception, host: str) -> OriginError:
    where = {"host": host}
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
        case aiohttp.ClientResponseError():
            # aiohttp points into the line it could not read, on several lines of its own.
            what = f"{host} does not speak HTTP: {' '.join(error.message.split())}"
            return OriginError(FailureCode.PROTOCOL, what, where)
        case aiohttp.InvalidURL():
            what = f"the URL cannot be requested: {error}"
            return OriginError(FailureCode.PROTOCOL, what, where, transient=False)
        case _:
            reason = str(error) or type(error).__name__
            return OriginError(FailureCode.CUT_OFF, f"{host} broke off: {reason}", where)


def tls_reason(error: BaseException) -> str:
    """Why a handshake failed or a certificate was not accepted, in OpenSSL's words."""
    inner = getattr(error, "certificate_error", getattr(error, "os_error", error))
    if isinstance(inner, ssl.SSLCertVerificationError):
        return inner.verify_message
    return str(getattr(inner, "reason", None) or inner)
