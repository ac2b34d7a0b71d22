"""The self-signed certificate, and the errors of certificates and keys that cannot be used."""

import contextlib
import http.server
import os
import resource
import socket
import ssl
import subprocess
import tempfile
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from hypothesis import given
from hypothesis import strategies as st

from spsd.errors import ConfigurationError, StateError
from spsd.system import certificate as subject
from spsd.system.certificate import (
    CLOCK_SET,
    LIFETIME,
    RENEW_BEFORE,
    ensure_self_signed,
    fingerprint,
    read_pair,
    renewal_reason,
    server_context,
)
from testbed import needs


@pytest.fixture
def pair(tmp_path):
    return ensure_self_signed(tmp_path / "tls", hostname="appliance-7.lab.example")


class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"hi")

    def log_message(self, *args):
        pass


@pytest.fixture
def port(pair):
    server = http.server.HTTPServer(("127.0.0.1", 0), Hello)
    server.socket = server_context(*pair).wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@needs.program("curl")
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "appliance-7.lab.example"])
def test_curl_verifies_the_certificate(pair, port, host):
    url = f"https://{host}:{port}/"
    resolve = f"appliance-7.lab.example:{port}:127.0.0.1"
    call = ["curl", "-sS", "--noproxy", "*", "--resolve", resolve, url]
    trusted = subprocess.run([*call, "--cacert", pair[0]], capture_output=True, check=False)
    assert trusted.stdout == b"hi", trusted.stderr
    assert subprocess.run(call, capture_output=True, check=False).returncode == 60


def test_a_strict_client_verifies_the_certificate(pair, port):
    context = ssl.create_default_context(cafile=pair[0])
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    with (
        socket.create_connection(("127.0.0.1", port)) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as channel,
    ):
        assert channel.version() == "TLSv1.3"


def test_a_valid_pair_is_not_replaced(pair):
    before = [path.read_bytes() for path in pair]
    assert ensure_self_signed(pair[0].parent, hostname="other") == pair
    assert [path.read_bytes() for path in pair] == before


def test_only_the_owner_can_read_the_key_and_no_temporary_file_is_left(pair):
    assert pair[1].stat().st_mode & 0o777 == 0o600
    assert pair[0].parent.stat().st_mode & 0o777 == 0o700
    assert {path.name for path in pair[0].parent.iterdir()} == {"certificate.pem", "key.pem"}


@pytest.mark.parametrize("name", ["certificate.pem", "key.pem"])
@pytest.mark.parametrize("damage", ["missing", "empty", "foreign"])
def test_an_unusable_pair_is_replaced(pair, tmp_path, name, damage):
    path = pair[0].parent / name
    match damage:
        case "missing":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case _:
            other = ensure_self_signed(tmp_path / "other", hostname="x")
            path.write_bytes(other[["certificate.pem", "key.pem"].index(name)].read_bytes())
    server_context(*ensure_self_signed(pair[0].parent, hostname="x"))


NOW = datetime(2030, 5, 17, 12, tzinfo=UTC)
"""A time of the appliance's clock."""


def made(directory, now=NOW, **names):
    """The self-signed certificate in ``directory`` after a look at that time."""
    path, _ = ensure_self_signed(directory, hostname="appliance", now=now, **names)
    return x509.load_pem_x509_certificate(path.read_bytes())


def named(certificate):
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = map(str, names.get_values_for_type(x509.IPAddress))
    return {*names.get_values_for_type(x509.DNSName), *addresses}


ALWAYS = {"appliance", "localhost", "127.0.0.1", "::1"}


def test_it_lives_no_longer_than_clients_accept(tmp_path):
    certificate = made(tmp_path)
    assert certificate.not_valid_before_utc < NOW < certificate.not_valid_after_utc
    lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    # RFC 5280 counts the last second too.
    assert lifetime + timedelta(seconds=1) <= timedelta(days=398)


def test_it_names_the_machines_addresses_and_the_configured_names(tmp_path):
    certificate = made(
        tmp_path,
        names=["appliance.lab.example", "10.0.0.7", "2001:db8::7", "127.0.0.1"],
        configured=["Firmware.example", "192.0.2.9", "10.0.0.7"],
    )
    others = {"appliance.lab.example", "10.0.0.7", "2001:db8::7", "firmware.example", "192.0.2.9"}
    assert named(certificate) == ALWAYS | others


def test_a_renewal_keeps_the_key(tmp_path):
    first = made(tmp_path)
    end = first.not_valid_after_utc
    assert made(tmp_path, end - RENEW_BEFORE - timedelta(seconds=1)) == first
    second = made(tmp_path, end - RENEW_BEFORE)
    assert second != first
    assert second.public_key() == first.public_key()
    assert second.not_valid_after_utc > end
    server_context(tmp_path / "certificate.pem", tmp_path / "key.pem")


def test_a_lost_certificate_is_made_with_the_same_key(tmp_path):
    first = made(tmp_path)
    (tmp_path / "certificate.pem").unlink()
    assert made(tmp_path).public_key() == first.public_key()


def test_other_addresses_are_no_reason_and_configured_names_are_one(tmp_path):
    """A lease of DHCP that ends must not change what clients have pinned."""
    first = made(tmp_path, names=["10.0.0.7"])
    assert made(tmp_path, names=["10.0.0.8", "other.lab.example"]) == first
    assert made(tmp_path, names=[]) == first
    second = made(tmp_path, names=["10.0.0.8"], configured=["Firmware.example"])
    assert named(second) == ALWAYS | {"10.0.0.8", "firmware.example"}
    # A configured name that is taken away is no reason either.
    assert made(tmp_path) == second


def test_the_first_address_after_a_start_without_network_is_a_reason(tmp_path):
    first = made(tmp_path, names=["appliance.lab.example"])
    second = made(tmp_path, names=["appliance.lab.example", "10.0.0.7"])
    assert "10.0.0.7" in named(second)
    assert second != first
    assert made(tmp_path, names=["10.0.0.8"]) == second


def test_a_clock_that_was_never_set_renews_nothing(tmp_path):
    first = made(tmp_path)
    booted = datetime(1970, 1, 1, 0, 0, 30, tzinfo=UTC)
    assert made(tmp_path, booted, configured=["x"], names=["10.0.0.7"]) == first
    assert made(tmp_path, NOW + timedelta(days=1)) == first


def test_a_certificate_by_a_clock_that_was_never_set_is_renewed_with_the_clock(tmp_path):
    booted = datetime(1970, 1, 1, 0, 0, 30, tzinfo=UTC)
    first = made(tmp_path, booted)
    assert made(tmp_path, booted + timedelta(days=1)) == first
    second = made(tmp_path, NOW)
    assert second.not_valid_before_utc < NOW < second.not_valid_after_utc
    assert second.public_key() == first.public_key()


def test_a_certificate_from_the_future_is_renewed(tmp_path):
    first = made(tmp_path, NOW + timedelta(days=4000))
    second = made(tmp_path, NOW)
    assert second.not_valid_before_utc < NOW < first.not_valid_before_utc


def test_the_ten_years_of_the_first_version_are_renewed(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(subject, "LIFETIME", timedelta(days=3650))
        first = made(tmp_path)
    assert made(tmp_path) != first


def test_a_certificate_of_an_authority_is_left_until_it_ends(tmp_path):
    """An operator has put it into the directory: short or long, it is the operator's."""
    ensure_self_signed(tmp_path, hostname="x", now=NOW)
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "lab authority")])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(7)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=10))
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    assert made(tmp_path, NOW, configured=["x"], names=["10.0.0.7"]) == signed
    assert made(tmp_path, NOW + timedelta(days=11)) != signed


def test_too_many_open_files_are_no_reason_for_a_new_certificate(tmp_path):
    first = made(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    held = [os.open("/dev/null", os.O_RDONLY) for _ in range(used + 8)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(held) + 1, limits[1]))
    try:
        # Three are needed at a time to check the pair.
        for _ in range(3):
            with pytest.raises(StateError, match="Too many open files"):
                made(tmp_path)
            os.close(held.pop())
        assert made(tmp_path) == first
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in held:
            os.close(descriptor)
    assert made(tmp_path) == first


@given(
    made_at=st.integers(86_400, 4_000_000_000).map(lambda s: datetime.fromtimestamp(s, UTC)),
    later_s=st.integers(-(10**9), 10**9),
)
def test_by_a_clock_that_is_set_the_certificate_is_always_valid(made_at, later_s):
    """Whatever the clock was before: after the look it is valid, and for a month at least."""
    now = max(made_at + timedelta(seconds=later_s), CLOCK_SET)
    with tempfile.TemporaryDirectory() as directory:
        made(Path(directory), made_at)
        certificate = made(Path(directory), now)
        assert certificate.not_valid_before_utc <= now
        assert certificate.not_valid_after_utc - now > RENEW_BEFORE
        assert renewal_reason(certificate, now=now) is None
        assert certificate.not_valid_after_utc - certificate.not_valid_before_utc <= LIFETIME


def test_a_pair_that_does_not_fit_is_never_loaded(pair, tmp_path):
    """A context into which OpenSSL loads such a pair has no key any longer."""
    other = ensure_self_signed(tmp_path / "other", hostname="x")
    context = server_context(*pair)
    with pytest.raises(ConfigurationError, match="does not belong"):
        read_pair(other[0], pair[1]).present(context)
    assert presented(context) == fingerprint(pair[0])


def test_a_pair_can_be_replaced_in_a_context_that_serves(pair, tmp_path):
    other = ensure_self_signed(tmp_path / "other", hostname="x")
    context = server_context(*pair)
    before, after = read_pair(*pair), read_pair(*other)
    assert presented(context) == before.fingerprint
    after.present(context)
    assert presented(context) == after.fingerprint
    assert after.fingerprint == fingerprint(other[0])


def presented(context):
    """The fingerprint of the certificate that the context presents, by a handshake in memory."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server)
    theirs = context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(3):
        for side in (ours, theirs):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    der = ours.getpeercert(binary_form=True)
    return x509.load_der_x509_certificate(der).fingerprint(hashes.SHA256()).hex(":").upper()


def test_an_expired_certificate_is_replaced(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(subject, "LIFETIME", timedelta(hours=1))
        old = fingerprint(ensure_self_signed(tmp_path, hostname="x")[0])
    assert fingerprint(ensure_self_signed(tmp_path, hostname="x")[0]) != old


def test_a_temporary_file_from_a_power_cut_is_replaced(tmp_path):
    (tmp_path / ".key.pem.new").write_bytes(b"half")
    _, key = ensure_self_signed(tmp_path, hostname="x")
    assert key.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("hostname", ["", "localhost", "münchen", "a" * 64 + ".example"])
def test_every_host_name_gives_a_certificate(tmp_path, hostname):
    path, _ = ensure_self_signed(tmp_path, hostname=hostname)
    loaded = x509.load_pem_x509_certificate(path.read_bytes())
    names = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName)[-1] == "localhost"


def test_an_unusable_directory_is_a_state_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StateError, match="file"):
        ensure_self_signed(tmp_path / "file" / "tls", hostname="x")


def test_a_key_of_another_certificate_is_named(pair, tmp_path):
    _, other = ensure_self_signed(tmp_path / "other", hostname="x")
    with pytest.raises(ConfigurationError, match=f"{other}: does not belong to the certificate"):
        server_context(pair[0], other)


def test_an_encrypted_key_is_refused_without_a_prompt(pair):
    private = serialization.load_pem_private_key(pair[1].read_bytes(), None)
    pair[1].write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(ConfigurationError, match="is not an unencrypted private key"):
        server_context(*pair)


@pytest.mark.parametrize("index", [0, 1])
def test_a_bad_file_is_named(pair, index):
    pair[index].write_bytes(b"nothing")
    with pytest.raises(ConfigurationError, match=str(pair[index])):
        server_context(*pair)
    pair[index].unlink()
    with pytest.raises(ConfigurationError, match=f"{pair[index]}: cannot be read"):
        server_context(*pair)


@needs.program("openssl")
def test_the_fingerprint_is_that_of_openssl(pair):
    shown = subprocess.run(
        ["openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", pair[0]],
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    assert shown.strip().endswith(f"={fingerprint(pair[0])}")
