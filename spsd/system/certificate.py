"""The server's certificate: the one that is configured, or a self-signed one."""

import logging
import mmap
import os
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from spsd.errors import ConfigurationError, StateError
from spsd.storage.files import write_durably
from spsd.system.key_exchange import limit_key_exchange

_log = logging.getLogger(__name__)
LIFETIME = timedelta(days=365)
"""Browsers accept 398 days of public authorities (support.apple.com/102028), Apple's systems 825 of
all others (support.apple.com/103769); Mozilla advises 366 at most."""
RENEW_BEFORE = timedelta(days=30)
CLOCK_SET = datetime(2025, 1, 1, tzinfo=UTC)
"""A clock before it was never set, and says nothing about a certificate."""
_OWN_NAME: Final = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "spsd")])
_Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def ensure_self_signed(
    directory: Path,
    *,
    hostname: str,
    names: Sequence[str] = (),
    configured: Sequence[str] = (),
    now: datetime | None = None,
) -> tuple[Path, Path]:
    """The paths of ``certificate.pem`` and ``key.pem`` in ``directory``.

    The certificate names ``hostname``, ``names`` and ``configured``, host names or addresses. A
    missing or damaged pair is created, and a certificate is renewed with the same key for the
    reasons of :func:`renewal_reason`. Otherwise it stays the same, so that a client may pin it.

    Raises:
        StateError: the directory cannot be written.
    """
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    now = now or datetime.now(UTC)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        chain, key_pem = _content(certificate), _content(key)
        reason = _reason_to_renew(chain, key_pem, names, configured, now)
        if reason is not None:
            private = _usable_key(key_pem)
            if private is None:
                private = ec.generate_private_key(ec.SECP256R1())
                # After a power cut between the two they do not fit, and one is created again.
                write_durably(key, _key_pem(private))
            named = [hostname, *names, *configured]
            write_durably(certificate, _self_signed_pem(private, named, now))
            _log.warning("new self-signed certificate: the previous one %s", reason)
    except OSError as error:
        raise StateError(
            f"{directory}: no certificate can be created here: {error.strerror or error}"
        ) from error
    return certificate, key


def _content(path: Path) -> bytes:
    """The file; nothing if it does not exist, or belongs to another user.

    Every other error is raised: too many open files are no reason for a new certificate.
    """
    try:
        return path.read_bytes()
    except (FileNotFoundError, PermissionError):
        return b""


def renewal_reason(
    certificate: x509.Certificate,
    *,
    now: datetime,
    names: Sequence[str] = (),
    configured: Sequence[str] = (),
) -> str | None:
    """Why a self-signed certificate has to be renewed; None: it stays.

    Each renewal changes the fingerprint, which clients may pin. So other names and addresses of the
    machine (``names``) are no reason, unless the certificate was made before it had any address.
    With a clock that was never set nothing is renewed: the dates are judged when it is set.
    """
    if now < CLOCK_SET:
        return None
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < start:
        return f"is valid only from {start:%Y-%m-%d} on"
    if now >= end - RENEW_BEFORE:
        return f"ends on {end:%Y-%m-%d}"
    if end - start > LIFETIME:
        return f"is valid for more than {LIFETIME.days} days"
    named = _names_in(certificate)
    if missing := [text for text in configured if _general_name(text) not in named]:
        return f"does not name {', '.join(missing)}"
    addresses = {name for name in map(_general_name, names) if isinstance(name, x509.IPAddress)}
    if addresses and not any(_is_of_a_network(name) for name in named):
        return "names no address of this machine"
    return None


def _reason_to_renew(
    chain: bytes, key: bytes, names: Sequence[str], configured: Sequence[str], now: datetime
) -> str | None:
    if not chain or not key:
        return "is missing, or its key is"
    try:
        certificate = Pair(chain, key).check("it", "the key")
    except ConfigurationError as error:
        return f"cannot be used: {error}"
    if certificate.issuer != _OWN_NAME:
        # An operator has put it there. It is replaced only when no client accepts it any longer.
        return "has ended" if now > certificate.not_valid_after_utc else None
    return renewal_reason(certificate, now=now, names=names, configured=configured)


def _names_in(certificate: x509.Certificate) -> Sequence[x509.GeneralName]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    return list(extension.value)


def _is_of_a_network(name: x509.GeneralName) -> bool:
    return isinstance(name, x509.IPAddress) and not name.value.is_loopback


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate chain and the key that belongs to it, in PEM form."""

    chain: bytes
    key: bytes = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the first certificate, as ``openssl x509 -fingerprint`` prints it."""
        return _fingerprint(x509.load_pem_x509_certificate(self.chain))

    def check(self, certificate: object, key: object) -> x509.Certificate:
        """Check that a server can use the pair; gives its first certificate.

        ``certificate`` and ``key`` are the names of the two parts in errors.

        Raises:
            ConfigurationError: a part is not what it must be, or they do not belong together.
            OSError: the process has too many open files.
        """
        first = _parse(certificate, self.chain)
        try:
            self.present(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise ConfigurationError(
                    f"{key}: does not belong to the certificate {certificate}"
                ) from error
            raise ConfigurationError(
                f"{key}: is not an unencrypted private key in PEM form ({error.reason})"
            ) from error
        return first

    def present(self, context: ssl.SSLContext) -> None:
        """Present this chain in new handshakes; connections that exist are not affected.

        It reads no disk. Call it in the thread that makes the handshakes, after :meth:`check`: a
        context into which an unusable pair is loaded has lost the key that it had.

        Raises:
            OSError: the process has too many open files.
        """
        with _in_memory(self.chain) as chain, _in_memory(self.key) as key:
            # An empty password: without one OpenSSL would prompt for that of an encrypted key.
            context.load_cert_chain(chain, key, password="")


def read_pair(certificate: Path, key: Path) -> Pair:
    """Read and check both files.

    Raises:
        ConfigurationError: a file cannot be read, does not hold what it must, or the key does not
            belong to the certificate.
    """
    pair = Pair(_read(certificate), _read(key))
    try:
        pair.check(certificate, key)
    except OSError as error:
        raise ConfigurationError(f"{key}: cannot be used: {error.strerror}") from error
    return pair


@contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """A path with this content: :mod:`ssl` loads certificates from files only."""
    descriptor = os.memfd_create("spsd-pem")
    try:
        os.ftruncate(descriptor, len(content))
        if content:  # an empty file cannot be mapped
            with mmap.mmap(descriptor, len(content)) as memory:
                memory[:] = content
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """A server's TLS context, for TLS 1.2 and later, with this certificate chain and key.

    Keys are exchanged over elliptic curves alone, see :mod:`~spsd.system.key_exchange`.

    Raises:
        ConfigurationError: a file cannot be read, does not hold what it must, or the key does not
            belong to the certificate.
    """
    return context_of(read_pair(certificate, key))


def context_of(pair: Pair) -> ssl.SSLContext:
    """:func:`server_context` with a pair that :func:`read_pair` has read and checked.

    Raises:
        OSError: the process has too many open files.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    limit_key_exchange(context)
    context.set_alpn_protocols(["http/1.1"])
    pair.present(context)
    return context


def fingerprint(certificate: Path) -> str:
    """SHA-256 of the first certificate in the file, as ``openssl x509 -fingerprint`` prints it.

    Raises:
        ConfigurationError: the file cannot be read or holds no certificate.
    """
    return _fingerprint(_load(certificate))


def days_left(certificate: Path) -> int:
    """Whole days until the certificate expires, negative if it has expired.

    Raises:
        ConfigurationError: the file cannot be read or holds no certificate.
    """
    return (_load(certificate).not_valid_after_utc - datetime.now(UTC)).days


def _load(certificate: Path) -> x509.Certificate:
    return _parse(certificate, _read(certificate))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error


def _parse(name: object, pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise ConfigurationError(f"{name}: holds no certificate in PEM form") from error


def _fingerprint(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def _usable_key(pem: bytes) -> _Key | None:
    """The key, which a renewal keeps; None if it cannot sign."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) else None


def _key_pem(private: _Key) -> bytes:
    return private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _self_signed_pem(private: _Key, names: Sequence[str], now: datetime) -> bytes:
    name = _OWN_NAME
    public = private.public_key()
    # One day early, since the clocks of an appliance and of its clients may differ.
    start = now - timedelta(days=1)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + LIFETIME)
        # Not an authority: a client that trusts it trusts no certificate that it signs.
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
            critical=False,
        )
        .add_extension(x509.SubjectAlternativeName(_subject_names(names)), critical=False)
    )
    return builder.sign(private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _subject_names(names: Sequence[str]) -> list[x509.GeneralName]:
    # A certificate cannot hold a host name that is not ASCII; the other names remain.
    wanted = [name for name in names if name and name.isascii()]
    return list(dict.fromkeys(map(_general_name, (*wanted, "localhost", "127.0.0.1", "::1"))))


def _general_name(text: str) -> x509.GeneralName:
    """The entry of a certificate for a host name or an address."""
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        return x509.DNSName(text.lower())
