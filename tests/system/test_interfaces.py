"""The addresses of the machine that its certificate names."""

from ipaddress import IPv6Address

from spsd.system.interfaces import interface_addresses, lasting_addresses


def line(address, flags):
    return f"{int(IPv6Address(address)):032x} 02 40 00 {flags:02x}     eth0\n"


def test_only_addresses_that_last_are_named():
    found = [
        *("02:fc:00:00:00:01", "not an address", ""),
        *("127.0.0.1", "::1", "169.254.7.7", "fe80::1%eth0", "0.0.0.0"),
        *("192.168.1.7", "10.0.0.7", "10.0.0.7", "2001:db8::7", "fd00::7", "2001:db8::aaaa"),
        *("2001:db8::bbbb", "2001:db8::cccc"),
    ]
    kernel = (
        line("2001:db8::7", 0x80)
        + line("2001:db8::aaaa", 0x01)  # temporary
        + line("2001:db8::bbbb", 0x20)  # deprecated
        + line("2001:db8::cccc", 0x08 | 0x40)  # a duplicate
        + line("fd00::7", 0x40)  # tentative, at boot
        + "something else\n"
    )
    expected = ["10.0.0.7", "192.168.1.7", "2001:db8::7", "fd00::7"]
    assert lasting_addresses(found, kernel) == expected
    assert "2001:db8::aaaa" in lasting_addresses(found, "")


def test_there_is_a_limit():
    assert len(lasting_addresses((f"10.0.{n}.1" for n in range(200)), "")) == 64


def test_the_machine_itself():
    for address in interface_addresses():
        assert not address.startswith(("127.", "169.254.", "fe80:"))
