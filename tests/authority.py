"""A private certificate authority, like one that a few commands of openssl make."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


class Authority:
    """An authority whose certificate has neither key usage nor key identifiers.

    RFC 5280 requires both (sections 4.2.1.1 to 4.2.1.3), and ``ssl.VERIFY_X509_STRICT`` checks it.
    """

    def __init__(self, directory):
        self.directory = directory
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "the lab")])
        usage = x509.BasicConstraints(ca=True, path_length=None)
        self.certificate = self.signed(self.name, self.key, usage, NOW - 9 * DAY, NOW + 9 * DAY)
        self.file = directory / "authority.pem"
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def signed(self, name, key, extension, begins, ends):
        """A certificate of this authority; ``begins`` and ``ends`` limit its validity."""
        builder = x509.CertificateBuilder(
            self.name, name, key.public_key(), x509.random_serial_number(), begins, ends
        ).add_extension(extension, critical=extension.oid == x509.BasicConstraints.oid)
        return builder.sign(self.key, hashes.SHA256())

    def under(self, *, is_authority=True):
        """An intermediate authority that this one has signed.

        With ``is_authority`` False its certificate does not allow it to sign others.
        """
        usage = x509.BasicConstraints(ca=is_authority, path_length=None)
        lower = Authority(self.directory)
        lower.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a room of the lab")])
        lower.certificate = self.signed(lower.name, lower.key, usage, NOW - 9 * DAY, NOW + 9 * DAY)
        lower.file = self.directory / "lower.pem"
        lower.file.write_bytes(lower.certificate.public_bytes(serialization.Encoding.PEM))
        return lower

    def context(self, begins=NOW - DAY, ends=NOW + DAY, host="127.0.0.1"):
        """The SSL context of a server with a certificate of this authority, and its DER bytes."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))])
        own = self.signed(name, key, names, begins, ends)
        pem = self.directory / "pair.pem"
        pem.write_bytes(
            own.public_bytes(serialization.Encoding.PEM)
            + self.certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        return context, own.public_bytes(serialization.Encoding.DER)


def as_python_does(version, monkeypatch):
    """Make ``ssl.create_default_context`` verify as in Python ``3.12`` or as in ``3.13``.

    Python 3.13 added the strict checks and partial chains to the defaults.
    """
    made = ssl.create_default_context
    added = ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN

    def make(*arguments, **settings):
        context = made(*arguments, **settings)
        context.verify_flags &= ~added
        if version == "3.13":
            context.verify_flags |= added
        return context

    monkeypatch.setattr(ssl, "create_default_context", make)
