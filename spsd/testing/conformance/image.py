"""Firmware images for tests: small ISO 9660 volumes, each different; and a TLS certificate."""

import datetime
import io
import secrets
import ssl
from pathlib import Path

import pycdlib
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

VERSION = "0.0.1-conformance"


def fresh_image() -> bytes:
    """Return a new image, which no slot can hold yet."""
    iso = pycdlib.PyCdlib()
    iso.new(vol_ident="CONFORMANCE", joliet=3)
    metadata = f'version = "{VERSION}"\nupgrade_notes = "Made by spsd-conformance."\n'.encode()
    for iso_name, name, content in (
        ("/FIRMWARE.TOM;1", "/firmware.toml", metadata),
        ("/PAYLOAD.BIN;1", "/payload.bin", secrets.token_bytes(4096)),
    ):
        iso.add_fp(io.BytesIO(content), len(content), iso_path=iso_name, joliet_path=name)
    output = io.BytesIO()
    iso.write_fp(output)
    iso.close()
    return output.getvalue()


def self_signed_context(directory: Path, host: str) -> ssl.SSLContext:
    """Return a TLS context with a self-signed certificate; its key is written to `directory`."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(private, hashes.SHA256())
    )
    pem = directory / "origin.pem"
    pem.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context
