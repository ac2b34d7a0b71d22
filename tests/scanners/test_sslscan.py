"""sslscan (Debian) finds nothing weak in what the server offers over TLS."""

import subprocess
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest

from spsd.testing.daemon import DaemonProcess
from testbed import needs
from testbed.needs import find_program

pytestmark = needs.program("sslscan")

CURVES = {"secp256r1", "secp384r1", "x25519", "X25519MLKEM768", "SecP256r1MLKEM768"}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> ElementTree.Element:
    program = find_program("sslscan")
    assert program is not None
    root = tmp_path_factory.mktemp("daemon")
    with DaemonProcess(root, {"server": {"plain_http": False}}) as daemon:
        done = subprocess.run(
            [program, "--xml=-", f"127.0.0.1:{urlsplit(daemon.url).port}"],
            capture_output=True,
            check=True,
            timeout=60,
        )
    scan = ElementTree.fromstring(done.stdout).find("ssltest")
    assert scan is not None
    return scan


def test_only_tls_1_2_and_1_3_are_offered(report: ElementTree.Element) -> None:
    enabled = {
        f"{protocol.get('type')} {protocol.get('version')}"
        for protocol in report.iter("protocol")
        if protocol.get("enabled") == "1"
    }
    assert enabled == {"tls 1.2", "tls 1.3"}


def test_every_cipher_is_authenticated_encryption_with_forward_secrecy(
    report: ElementTree.Element,
) -> None:
    ciphers = [cipher.get("cipher", "") for cipher in report.iter("cipher")]
    assert ciphers
    for cipher in ciphers:
        # RFC 8446 has only such ciphers; in TLS 1.2 the name shows both.
        assert cipher.startswith(("TLS_", "ECDHE-")), cipher
        assert "GCM" in cipher or "CHACHA20" in cipher, cipher


def test_keys_are_exchanged_over_elliptic_curves_only(report: ElementTree.Element) -> None:
    groups = {group.get("name", "").split(" ")[0] for group in report.iter("group")}
    assert groups
    assert groups <= CURVES


def test_nothing_is_renegotiated_and_no_known_fault_is_found(report: ElementTree.Element) -> None:
    renegotiation = report.find("renegotiation")
    assert renegotiation is not None
    assert renegotiation.get("supported") == "0"
    beats = list(report.iter("heartbleed"))
    assert beats
    assert {beat.get("vulnerable") for beat in beats} == {"0"}


def test_the_certificate_is_current_and_signed_with_sha_256(report: ElementTree.Element) -> None:
    assert report.findtext("certificates/certificate/expired") == "false"
    assert report.findtext("certificates/certificate/signature-algorithm") == "ecdsa-with-SHA256"
