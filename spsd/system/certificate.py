"""The server's certificate: one that an operator configured, or a self-signed one of our own."""

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

LIFETIME = timedelta(days=3650)


def ensure_self_signed(directory: Path, *, hostname: str) -> tuple[Path, Path]:
    """The paths of certificate and key in ``directory``, made anew if they are of no use.

    The certificate stays the same for as long as it is valid, so that a client may pin it.

    Raises:
        StateError: the directory cannot be written.
    """
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _usable(certificate, key):
            private = ec.generate_private_key(ec.SECP256R1())
            # Should a power cut come between the two, they do not fit and are made again.
            write_durably(key, _key_pem(private))
            write_durably(certificate, _self_signed_pem(private, hostname))
    except OSError as error:
        raise StateError(
            f"{directory}: no certificate can be made here: {error.strerror or error}"
        ) from error
    return certificate, key


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.2 and later, with that chain.

    Raises:
        ConfigurationError: a file cannot be read, holds something else, or they do not fit.
    """
    _load(certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # An empty password: without one OpenSSL would ask the terminal for that of a locked key.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigurationError(
                f"{key}: does not fit the certificate {certificate}"
            ) from error
        raise ConfigurationError(
            f"{key}: is no unencrypted private key in PEM form ({error.reason})"
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
    """Whole days until the certificate ends, negative if it has.

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
    # A day back: the clocks of an appliance and of its clients need not agree.
    start = datetime.now(UTC) - timedelta(days=1)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + LIFETIME)
        # No authority: whoever trusts it trusts this one server, and nothing it might sign.
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
            critical=False,
        )
        .add_extension(x509.SubjectAlternativeName(_names(hostname)), critical=False)
    )
    return builder.sign(private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _names(hostname: str) -> list[x509.GeneralName]:
    # A host name that is not ASCII cannot stand in a certificate; the addresses still do.
    hosts = dict.fromkeys(name for name in (hostname, "localhost") if name and name.isascii())
    return [
        *(x509.DNSName(host) for host in hosts),
        *(x509.IPAddress(ip_address(text)) for text in ("127.0.0.1", "::1")),
    ]
