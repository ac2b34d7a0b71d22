"""The sockets that listen: all addresses of a name, and both families for ``::``."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from spsd.errors import ConfigurationError
from spsd.server import SEND_BUFFER_BYTES, listening_sockets


@contextmanager
def closing_all(sockets: list[socket.socket]) -> Iterator[list[socket.socket]]:
    try:
        yield sockets
    finally:
        for each in sockets:
            each.close()


async def test_every_address_of_ipv6_includes_those_of_ipv4() -> None:
    with closing_all(await listening_sockets("::", 0)) as [listener]:
        port = listener.getsockname()[1]
        for host in ("127.0.0.1", "::1"):
            with socket.create_connection((host, port), timeout=5):
                pass


async def test_one_address_of_ipv6_does_not() -> None:
    with closing_all(await listening_sockets("::1", 0)) as [listener]:
        port = listener.getsockname()[1]
        with socket.create_connection(("::1", port), timeout=5):
            pass
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)


async def test_a_name_listens_on_all_its_addresses_and_one_port() -> None:
    expected = {info[4][0] for info in socket.getaddrinfo("localhost", 0)}
    with closing_all(await listening_sockets("localhost", 0)) as listeners:
        names = [each.getsockname() for each in listeners]
        assert {name[0] for name in names} == expected
        assert len({name[1] for name in names}) == 1


async def test_the_kernel_holds_little_for_a_client_that_does_not_read() -> None:
    with closing_all(await listening_sockets("127.0.0.1", 0)) as [listener]:
        listener.setblocking(True)
        with socket.create_connection(listener.getsockname(), timeout=5):
            accepted, _ = listener.accept()
            with accepted:
                # Linux doubles the value (socket(7)).
                held = accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
                assert held <= 2 * SEND_BUFFER_BYTES


async def test_an_address_in_use_is_an_error_of_the_configuration() -> None:
    with closing_all(await listening_sockets("127.0.0.1", 0)) as [listener]:
        port = listener.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"cannot listen on 127.0.0.1:{port}: "):
            await listening_sockets("127.0.0.1", port)


async def test_an_unknown_name_is_an_error_of_the_configuration() -> None:
    with pytest.raises(ConfigurationError, match=r"cannot listen on none\.invalid:0: "):
        await listening_sockets("none.invalid", 0)
