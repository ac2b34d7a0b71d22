"""The server's certificate: the one that is configured, or a self-signed one."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from spsd.errors import ConfigurationError, StateError
from spsd.storage.files import write_durably
from spsd.system.key_exchange import limit_key_exchange

LIFETIME = timedelta(days=3650)


def ensure_self_signed(directory: Path, *, hostname: str) -> tuple[Path, Path]:
    """The paths of ``certificate.pem`` and ``key.pem`` in ``directory``.

    They are created if they are missing, damaged, expired, or do not belong together. Otherwise the
    certificate stays the same, so that a client may pin it.

    Raises:
        StateError: the directory cannot be written.
    """
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _usable(certificate, key):
            private = ec.generate_private_key(ec.SECP256R1())
            # After a power cut between the two they do not fit, and are created again.
            write_durably(key, _key_pem(private))
            write_durably(certificate, _self_signed_pem(private, hostname))
    except OSError as error:
        raise StateError(
            f"{directory}: no certificate can be created here: {error.strerror or error}"
        ) from error
    return certificate, key


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """A server's TLS context, for TLS 1.2 and later, with this certificate chain and key.

    Keys are exchanged over elliptic curves alone, see :mod:`~spsd.system.key_exchange`.

    Raises:
        ConfigurationError: a file cannot be read, does not hold what it must, or the key does not
            belong to the certificate.
    """
    _load(certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    limit_key_exchange(context)
    try:
        # An empty password: without one OpenSSL would prompt for that of an encrypted key.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigurationError(
                f"{key}: does not belong to the certificate {certificate}"
            ) from error
        raise ConfigurationError(
            f"{key}: is not an unencrypted private key in PEM form ({error.reason})"
        ) from error
    except OSError as error:
        raise ConfigurationError(f"{key}: cannot be read: {error.strerror}") from error
    context.set_alpn_protocols(["http/1.1"])
    return context


def fingerprint(certificate: Path) -> str:
    """SHA-256 of the first certificate in the file, as ``openssl x509 -fingerprint`` prints it.

    Raises:
        ConfigurationError: the file cannot be read or holds no certificate.
    """
    return _load(certificate).fingerprint(hashes.SHA256()).hex(":").upper()


def days_left(certificate: Path) -> int:
    """Whole days until the certificate expires, negative if it has expired.

    Raises:
        ConfigurationError: the file cannot be read or holds no certificate.
    """
    return (_load(certificate).not_valid_after_utc - datetime.now(UTC)).days


def _load(certificate: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(certificate.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{certificate}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(f"{certificate}: holds no certificate in PEM form") from error


def _usable(certificate: Path, key: Path) -> bool:
    try:
        server_context(certificate, key)
        return _load(certificate).not_valid_after_utc > datetime.now(UTC)
    except ConfigurationError:
        return False


def _key_pem(private: ec.EllipticCurvePrivateKey) -> bytes:
    return private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _self_signed_pem(private: ec.EllipticCurvePrivateKey, hostname: str) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "spsd")])
    public = private.public_key()
    # One day early, since the clocks of an appliance and of its clients may differ.
    start = datetime.now(UTC) - timedelta(days=1)
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
        .add_extension(x509.SubjectAlternativeName(_subject_names(hostname)), critical=False)
    )
    return builder.sign(private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _subject_names(hostname: str) -> list[x509.GeneralName]:
    # A certificate cannot hold a host name that is not ASCII; the other names remain.
    hosts = dict.fromkeys(name for name in (hostname, "localhost") if name and name.isascii())
    return [
        *(x509.DNSName(host) for host in hosts),
        *(x509.IPAddress(ip_address(text)) for text in ("127.0.0.1", "::1")),
    ]
