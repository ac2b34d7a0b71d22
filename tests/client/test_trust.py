"""Whom spsctl and the Ansible modules trust: the same authorities under every Python."""

import importlib.util
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from spsd.client.hosts import Host, trusted
from tests.authority import Authority, as_python_does

UTILITIES = Path(__file__).parents[2] / "ansible" / "plugins" / "module_utils" / "appliance.py"


def collection() -> ModuleType:
    """What the modules share, which Ansible imports in its own way."""
    spec = importlib.util.spec_from_file_location("spsd_appliance", UTILITIES)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made
    try:
        spec.loader.exec_module(made)
    finally:
        del sys.modules[spec.name]
    return made


def of_spsctl(authorities: Path) -> ssl.SSLContext:
    context = trusted(Host(url="https://127.0.0.1", ca_file=str(authorities)))
    assert isinstance(context, ssl.SSLContext)
    return context


def of_ansible(authorities: Path) -> ssl.SSLContext:
    context = collection()._context(str(authorities), None)
    assert isinstance(context, ssl.SSLContext)
    return context


def shakes_hands(context: ssl.SSLContext, served: ssl.SSLContext) -> None:
    """Raises what verification raises."""
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            served.wrap_socket(theirs, server_side=True).close()
        except (ssl.SSLError, OSError):
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        context.wrap_socket(ours, server_hostname="127.0.0.1").close()
    finally:
        ours.close()
        thread.join()


@pytest.mark.parametrize("python", ["3.12", "3.13"])
@pytest.mark.parametrize("of", [of_spsctl, of_ansible])
def test_an_authority_without_key_identifiers_is_one(
    of: Callable[[Path], ssl.SSLContext],
    python: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    authority = Authority(tmp_path)
    as_python_does(python, monkeypatch)
    shakes_hands(of(authority.file), authority.context()[0])
    # And an intermediate one is trusted for itself.
    lower = authority.under()
    shakes_hands(of(lower.file), lower.context()[0])
    stranger = Authority(tmp_path).context()[0]
    with pytest.raises(ssl.SSLCertVerificationError):
        shakes_hands(of(lower.file), stranger)
