"""Certificate verification in spsctl and the Ansible modules: the same for each Python release."""

import importlib.util
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from spsd.client.hosts import Host
from spsd.client.trust import tls_verification
from tests.authority import Authority, as_python_does

UTILITIES = Path(__file__).parents[2] / "ansible" / "plugins" / "module_utils" / "appliance.py"


def import_module_utils() -> ModuleType:
    """The shared code of the modules, imported by path: its package exists only within Ansible."""
    spec = importlib.util.spec_from_file_location("spsd_appliance", UTILITIES)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[spec.name]
    return module


def spsctl_context(authorities: Path) -> ssl.SSLContext:
    context = tls_verification(Host(url="https://127.0.0.1", ca_file=str(authorities)))
    assert isinstance(context, ssl.SSLContext)
    return context


def ansible_context(authorities: Path) -> ssl.SSLContext:
    context = import_module_utils()._tls_context(str(authorities), None)
    assert isinstance(context, ssl.SSLContext)
    return context


def handshake(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    """A TLS handshake; raises the verification error of the client."""
    client_socket, server_socket = socket.socketpair()

    def serve() -> None:
        try:
            server.wrap_socket(server_socket, server_side=True).close()
        except (ssl.SSLError, OSError):
            server_socket.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        client.wrap_socket(client_socket, server_hostname="127.0.0.1").close()
    finally:
        client_socket.close()
        thread.join()


@pytest.mark.parametrize("python", ["3.12", "3.13"])
@pytest.mark.parametrize("make_context", [spsctl_context, ansible_context])
def test_an_authority_without_key_identifiers_is_accepted(
    make_context: Callable[[Path], ssl.SSLContext],
    python: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    authority = Authority(tmp_path)
    as_python_does(python, monkeypatch)
    handshake(make_context(authority.file), authority.context()[0])
    # An intermediate authority is accepted without its root.
    intermediate = authority.under()
    handshake(make_context(intermediate.file), intermediate.context()[0])
    other = Authority(tmp_path).context()[0]
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(make_context(intermediate.file), other)
