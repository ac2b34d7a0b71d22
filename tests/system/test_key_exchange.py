"""Which groups the server's TLS accepts for the key exchange, by clients of several kinds."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from spsd.system.certificate import ensure_self_signed, server_context
from spsd.system.key_exchange import limit_key_exchange
from testbed import needs
from testbed.client_hello import ffdhe8192_hello


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return ensure_self_signed(tmp_path_factory.mktemp("tls"), hostname="localhost")


def response_to(context: ssl.SSLContext, hello: bytes) -> bytes:
    """What a server with this context sends to a ClientHello."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(incoming, outgoing, server_side=True)
    incoming.write(hello)
    with suppress(ssl.SSLError):  # it waits for the client, or it has sent an alert
        server.do_handshake()
    return outgoing.read()


def test_a_key_share_of_a_finite_field_is_refused(pair: tuple[Path, Path]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    # The ClientHello is well-formed: where the group is allowed, it is answered. Before OpenSSL 3.5
    # it is one of the groups of every server that names none.
    limit_key_exchange(context, ("ffdhe8192",))
    assert response_to(context, ffdhe8192_hello()).startswith(b"\x16")
    # A fatal alert, handshake_failure.
    assert response_to(server_context(*pair), ffdhe8192_hello()).endswith(b"\x02\x28")


@pytest.mark.parametrize(
    ("group", "version"),
    [
        ("P-256", ssl.TLSVersion.TLSv1_3),
        ("P-384", ssl.TLSVersion.TLSv1_3),
        ("X25519", ssl.TLSVersion.TLSv1_3),
        # In TLS 1.2 the client's curves must also have that of the certificate.
        ("P-256", ssl.TLSVersion.TLSv1_2),
    ],
)
def test_a_client_with_one_curve_is_served(
    group: str, version: ssl.TLSVersion, pair: tuple[Path, Path]
) -> None:
    client = client_with(group, pair)
    client.maximum_version = client.minimum_version = version
    assert handshake(client, server_context(*pair))[0] == version.name.replace("_", ".")


def test_where_no_list_can_be_set_it_is_p256_alone(pair: tuple[Path, Path]) -> None:
    server = server_with_p256(pair)
    client = ssl.create_default_context(cafile=pair[0])
    assert handshake(client, server)[0] == "TLSv1.3"
    assert response_to(server, ffdhe8192_hello()).endswith(b"\x02\x28")
    client.set_ecdh_curve("secp384r1")
    with pytest.raises(ssl.SSLError):
        handshake(client, server)


def server_with_p256(pair: tuple[Path, Path]) -> ssl.SSLContext:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*pair)
    limit_key_exchange(server, ("none", "such"))
    return server


def client_with(group: str, pair: tuple[Path, Path]) -> ssl.SSLContext:
    """A client that offers this group alone."""
    client = ssl.create_default_context(cafile=pair[0])
    # Python 3.11.2's own set_ecdh_curve does not know X25519.
    limit_key_exchange(client, (group,))
    if group != "P-256":
        with pytest.raises(ssl.SSLError):
            handshake(client, server_with_p256(pair))
    return client


def test_ciphers_of_tls_1_2_have_forward_secrecy_and_authentication(
    pair: tuple[Path, Path],
) -> None:
    names = [
        each["name"]
        for each in server_context(*pair).get_ciphers()
        if each["protocol"] != "TLSv1.3"
    ]
    assert names
    assert all(
        name.startswith("ECDHE-") and ("GCM" in name or "CHACHA20" in name) for name in names
    )


def handshake(client: ssl.SSLContext, server: ssl.SSLContext) -> tuple[str | None, str]:
    """A handshake in memory; gives the version and the cipher.

    Raises:
        ssl.SSLError: it failed.
    """
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname="localhost"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(4):
        for end in ends:
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
    version, (cipher, _, _) = ends[0].version(), ends[0].cipher() or ("", "", 0)
    return version, cipher


@pytest.fixture
async def port(pair: tuple[Path, Path]) -> AsyncIterator[int]:
    context = await asyncio.to_thread(server_context, *pair)

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]


async def run(*command: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode(errors="replace")


@needs.program("openssl")
@pytest.mark.parametrize(
    ("groups", "served"),
    [
        ("X25519", True),
        ("P-256", True),
        ("P-384", True),
        ("ffdhe8192", False),
        ("ffdhe2048", False),
        ("ffdhe8192:P-256", True),
    ],
)
async def test_openssl_with_these_groups(groups: str, port: int, *, served: bool) -> None:
    status, output = await run(
        "openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-groups", groups
    )
    assert (status == 0) is served, output


@needs.program("openssl")
async def test_a_finite_field_is_not_accepted_in_tls_1_2(port: int) -> None:
    status, output = await run(
        *("openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_2", "-cipher", "DHE")
    )
    assert status != 0, output


@needs.program("curl")
async def test_curl_is_served(port: int, pair: tuple[Path, Path]) -> None:
    status, output = await run(
        *("curl", "--silent", "--show-error", "--cacert", str(pair[0])),
        *("--resolve", f"localhost:{port}:127.0.0.1", f"https://localhost:{port}/"),
    )
    assert (status, output) == (0, "ok")
