"""TLS with origins: which certificates are trusted, and what was verified of them.

Fingerprints are SHA-256 over the certificates as they were sent, in the form of ``openssl x509
-fingerprint``. Before Python 3.13 only the origin's own certificate can be had by public means.
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
    """From when to when a certificate holds, UTC."""

    begins: datetime
    ends: datetime


def time_evidence(
    validity: Validity | None, *, ours: datetime, date: str | None
) -> dict[str, str | int]:
    """What a person needs to tell an old certificate from a wrong clock.

    ``date`` is the origin's Date (RFC 9110 section 6.6.1), None if it sent none. The offset is in
    seconds: how far our clock is ahead of the origin's, negative if it is behind.
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
    except (ValueError, OverflowError):  # a time zone may be any number
        return None
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)


_ON_TIME = (9, 10)
"""OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""


@dataclass(frozen=True, slots=True)
class Trust:
    """TLS contexts: one that verifies, one for where the digest is proof enough, if it is.

    ``looking`` verifies nothing and is for looking at a certificate: no secret goes that way.
    """

    verifying: ssl.SSLContext
    digest_only: ssl.SSLContext | None
    inspecting: ssl.SSLContext

    @classmethod
    def of(cls, policy: str, ca_file: Path | None) -> "Trust":
        """For ``[fetch] tls``: ``strict`` never goes on without verification.

        Raises:
            ConfigurationError: the authorities cannot be read.
        """
        try:
            verifying = _as_everywhere(ssl.create_default_context(cafile=ca_file))
        except OSError as error:
            raise ConfigurationError(f"fetch.ca_file: {ca_file} cannot be used: {error}") from error
        # No default context: it would read the system's authorities, which takes 30 ms, for nobody.
        unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        unverified.check_hostname = False
        unverified.verify_mode = ssl.CERT_NONE
        return cls(verifying, None if policy == "strict" else unverified, unverified)


def _as_everywhere(context: ssl.SSLContext) -> ssl.SSLContext:
    """The same certificates hold under every Python: see docs/decisions/0027.

    From 3.13 on Python refuses what RFC 5280 wants otherwise, such as an authority without key
    identifiers, and trusts whatever stands among the authorities, be it self-signed or not.
    """
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


class TlsResponse(aiohttp.ClientResponse):
    """A response that remembers the certificates of its connection, which may be gone by now."""

    chain: tuple[bytes, ...] = ()

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        """As the client calls it, when the connection is there and the answer is not."""
        transport = connection.transport
        if transport is not None:
            self.chain = _chain(transport.get_extra_info("ssl_object"))
        return await super().start(connection)


def _chain(connection: ssl.SSLObject | None) -> tuple[bytes, ...]:
    """The certificates that the origin sent, DER, its own first."""
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
    shown = (hashlib.sha256(one).digest().hex(":").upper() for one in chain)
    return {"certificate sha256": " ".join(shown)}


def validity(response: aiohttp.ClientResponse) -> Validity | None:
    """When the origin's certificate holds; None if nobody can tell."""
    if not isinstance(response, TlsResponse) or not response.chain:
        return None
    try:
        own = x509.load_der_x509_certificate(response.chain[0])
        return Validity(own.not_valid_before_utc, own.not_valid_after_utc)
    except ValueError:
        return None


def expired_or_not_yet_valid(error: aiohttp.ClientConnectorCertificateError) -> bool:
    """Whether the certificate would be good at another time."""
    inner = error.certificate_error
    return isinstance(inner, ssl.SSLCertVerificationError) and inner.verify_code in _ON_TIME


def tls_reason(error: BaseException) -> str:
    """Why a handshake failed or a certificate was not accepted, in OpenSSL's words."""
    inner = getattr(error, "certificate_error", getattr(error, "os_error", error))
    if isinstance(inner, ssl.SSLCertVerificationError):
        return inner.verify_message
    return str(getattr(inner, "reason", None) or inner)
