"""The addresses of the machine that its certificate names."""

import socket
import subprocess
import sys
from ipaddress import IPv6Address

import psutil

from spsd.system.interfaces import interface_addresses, lasting_addresses

FIB_TRIE = """\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 127.0.0.0/31 1 0 0
           |-- 127.0.0.0
              /8 host LOCAL
           |-- 127.0.0.1
              /32 host LOCAL
        |-- 127.255.255.255
           /32 link BROADCAST
     +-- 192.168.1.0/24 2 0 2
           |-- 192.168.1.0
              /24 link UNICAST
           |-- 192.168.1.7
              /32 host LOCAL
           |-- 10.0.0.7
              /32 host LOCAL
           |-- 169.254.7.7
              /32 host LOCAL
        |-- 192.168.1.255
           /32 link BROADCAST
Local:
           |-- 10.0.0.7
              /32 host LOCAL
           |-- 10.0.0.1
              /32 universe UNICAST
"""


def line(address: str, flags: int) -> str:
    return f"{int(IPv6Address(address)):032x} 02 40 00 {flags:02x}     eth0\n"


def test_only_addresses_that_last_are_named():
    if_inet6 = (
        line("::1", 0x80)
        + line("fe80::1", 0x80)
        + line("fd00::7", 0x40)  # tentative, at boot
        + line("2001:db8::7", 0x80)
        + line("2001:db8::aaaa", 0x01)  # temporary
        + line("2001:db8::bbbb", 0x20)  # deprecated
        + line("2001:db8::cccc", 0x08 | 0x40)  # a duplicate
        + "something else\n"
    )
    expected = ["10.0.0.7", "192.168.1.7", "2001:db8::7", "fd00::7"]
    assert lasting_addresses(FIB_TRIE, if_inet6) == expected
    assert lasting_addresses("", "") == []


def test_there_is_a_limit():
    many = "".join(f"|-- 10.0.{n}.1\n   /32 host LOCAL\n" for n in range(200))
    assert len(lasting_addresses(many, "")) == 64


def test_the_machine_itself():
    """As getifaddrs(3) has them, of which psutil gives no flags."""
    entries = [entry for found in psutil.net_if_addrs().values() for entry in found]
    ipv4 = {entry.address for entry in entries if entry.family is socket.AF_INET}
    found = interface_addresses()
    assert {text for text in found if ":" not in text} == {
        text for text in ipv4 if not text.startswith(("127.", "169.254."))
    }
    assert {text for text in found if ":" in text} <= {entry.address for entry in entries}


def test_no_socket_is_needed():
    """The sandbox of the unit allows no AF_NETLINK."""
    program = (
        "import socket, sys\n"
        "from spsd.system.interfaces import interface_addresses\n"
        "sys.addaudithook(lambda event, _: sys.exit(event) if event[:6] == 'socket' else None)\n"
        "interface_addresses()\n"
        "assert 'psutil' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
