"""TLS with origins: which certificates are accepted, and the evidence of the verification.

Certificates are verified by OpenSSL (RFC 5280 section 6), host names by RFC 9110 section 4.3.4.
Fingerprints are SHA-256 over the certificates as they were sent (DER), in the form of ``openssl
x509 -fingerprint``. Before Python 3.13 the public interface returns the origin's own certificate
only.
"""

import hashlib
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import aiohttp
from aiohttp.connector import Connection
from cryptography import x509

from spsd.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Validity:
    """The validity period of a certificate, UTC (RFC 5280 section 4.1.2.5)."""

    begins: datetime
    ends: datetime


def time_evidence(
    validity: Validity | None, *, ours: datetime, date: str | None
) -> dict[str, str | int]:
    """The evidence that distinguishes an outdated certificate from a wrong clock.

    ``ours`` is the appliance's time, ``date`` the origin's Date (RFC 9110 section 6.6.1), None if
    it sent none. The offset in the evidence is in seconds: how far the appliance's clock is ahead
    of the origin's, negative if it is behind.
    """
    dates: dict[str, str | int] = {}
    if validity is not None:
        dates = {
            "certificate valid from": _formatted(validity.begins),
            "until": _formatted(validity.ends),
        }
    dates["our clock"] = _formatted(ours)
    theirs = _parsed(date)
    if theirs is not None:
        dates["ahead of the origin's by seconds"] = round((ours - theirs).total_seconds())
    return dates


def _formatted(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _parsed(date: str | None) -> datetime | None:
    if date is None:
        return None
    try:
        parsed = parsedate_to_datetime(date)
    except (ValueError, OverflowError):  # OverflowError: the time zone may be any number
        return None
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)


_VALIDITY_ERRORS = (9, 10)
"""OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""


@dataclass(frozen=True, slots=True)
class Trust:
    """The TLS contexts for requests to origins.

    ``verifying`` verifies the certificate. ``digest_only`` does not, for the case that the digest
    of the image is sufficient; None under ``[fetch] tls = "strict"``. ``inspecting`` does not
    verify either, and is used only to read a certificate's dates: no secret is sent over it.
    """

    verifying: ssl.SSLContext
    digest_only: ssl.SSLContext | None
    inspecting: ssl.SSLContext

    @classmethod
    def for_policy(cls, policy: str, ca_file: Path | None) -> "Trust":
        """The contexts for ``[fetch] tls`` and ``[fetch] ca_file``.

        Under the policy ``strict`` no image is fetched without verification.

        Raises:
            ConfigurationError: the file with the certificate authorities cannot be read.
        """
        try:
            verifying = _same_for_every_python(ssl.create_default_context(cafile=ca_file))
        except OSError as error:
            raise ConfigurationError(f"fetch.ca_file: {ca_file} cannot be used: {error}") from error
        # Not the default context: that reads the system's authorities, which takes 30 ms and is not
        # needed here.
        unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        unverified.check_hostname = False
        unverified.verify_mode = ssl.CERT_NONE
        return cls(verifying, None if policy == "strict" else unverified, unverified)


def _same_for_every_python(context: ssl.SSLContext) -> ssl.SSLContext:
    """Make ``context`` accept the same certificates under every Python: see docs/decisions/0027.

    Since 3.13 Python's default context is strict about RFC 5280: it refuses, for example, an
    authority without key identifiers. It also trusts every certificate among the authorities,
    self-signed or not. The first is switched off here, the second on.
    """
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


class TlsResponse(aiohttp.ClientResponse):
    """A response that stores the certificates of its connection, which may be closed early."""

    chain: tuple[bytes, ...] = ()

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        """Called by the client when the connection is open, before the response arrives."""
        transport = connection.transport
        if transport is not None:
            self.chain = _chain(transport.get_extra_info("ssl_object"))
        return await super().start(connection)


def _chain(connection: ssl.SSLObject | None) -> tuple[bytes, ...]:
    """The certificates that the origin sent, as DER, its own first (RFC 8446 section 4.4.2)."""
    if connection is None:
        return ()
    whole = getattr(connection, "get_unverified_chain", None)  # public from 3.13 on
    if whole is not None:
        return tuple(whole())
    own = connection.getpeercert(binary_form=True)
    return (own,) if own is not None else ()


def tls_evidence(response: aiohttp.ClientResponse) -> dict[str, str | int]:
    """Evidence: the fingerprints of the certificates that came with the response."""
    chain = response.chain if isinstance(response, TlsResponse) else ()
    if not chain:
        return {}
    fingerprints = (hashlib.sha256(der).digest().hex(":").upper() for der in chain)
    return {"certificate sha256": " ".join(fingerprints)}


def validity(response: aiohttp.ClientResponse) -> Validity | None:
    """The validity period of the origin's certificate; None without TLS, or if it is unreadable."""
    if not isinstance(response, TlsResponse) or not response.chain:
        return None
    try:
        own = x509.load_der_x509_certificate(response.chain[0])
        return Validity(own.not_valid_before_utc, own.not_valid_after_utc)
    except ValueError:
        return None


def expired_or_not_yet_valid(error: aiohttp.ClientConnectorCertificateError) -> bool:
    """Whether the certificate was refused for its validity period only."""
    inner = error.certificate_error
    return isinstance(inner, ssl.SSLCertVerificationError) and inner.verify_code in _VALIDITY_ERRORS


def tls_reason(error: BaseException) -> str:
    """The reason for a failed handshake or a refused certificate, as OpenSSL states it."""
    inner = getattr(error, "certificate_error", getattr(error, "os_error", error))
    if isinstance(inner, ssl.SSLCertVerificationError):
        return inner.verify_message
    return str(getattr(inner, "reason", None) or inner)
