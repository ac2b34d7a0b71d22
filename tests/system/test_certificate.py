"""The self-signed certificate, and the errors of certificates and keys that cannot be used."""

import http.server
import socket
import ssl
import subprocess
import threading
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from spsd.errors import ConfigurationError, StateError
from spsd.system import certificate as subject
from spsd.system.certificate import ensure_self_signed, fingerprint, server_context
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
