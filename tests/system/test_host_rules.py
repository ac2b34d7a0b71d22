"""The pure rules about a machine: its domain, its host name, and its processor use."""

import pytest

from spsd.system.host import BOOT, CpuTime, HostName, busy_percent, host_name, search_domain


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("", ""),
        ("nameserver 192.0.2.1\n", ""),
        ("domain lab.example\n", "lab.example"),
        ("search\tlab.example example.org\n", "lab.example"),
        ("domain first.example\nsearch last.example\n", "last.example"),
        ("search first.example\ndomain last.example\n", "last.example"),
        ("# domain lab.example\n;search lab.example\n", ""),
        ("  domain indented.example\n", ""),
        ("searching lab.example\n", ""),
        ("search lab.example.", "lab.example"),
        ("search .\n", ""),
        ("search\n", ""),
        ("domain lab.example\nsearch\n", ""),
        ("\n \nsearch lab.example", "lab.example"),
        ("search lab.example\r\n", "lab.example"),
        ("search .X.example.", "X.example"),
    ],
)
def test_the_domain_of_resolv_conf(text, domain):
    assert search_domain(text) == domain


@pytest.mark.parametrize(
    ("full", "resolver", "name"),
    [
        ("box", "", HostName("box", "")),
        ("box", "search lab.example", HostName("box", "lab.example")),
        ("box.rack.example", "search lab.example", HostName("box", "rack.example")),
        ("box.", "", HostName("box", "")),
        ("box.", "search lab.example", HostName("box", "lab.example")),
        ("box.rack.example.", "search lab.example", HostName("box", "rack.example")),
        ("boX", "", HostName("boX", "")),
    ],
)
def test_a_full_name_is_split_and_a_bare_one_completed(full, resolver, name):
    assert host_name(full, resolver) == name


@pytest.mark.parametrize(
    ("before", "after", "percent"),
    [
        (BOOT, CpuTime(50, 200), 25.0),
        (CpuTime(50, 200), CpuTime(80, 300), 30.0),
        (CpuTime(50, 200), CpuTime(50, 200), 0.0),
        (CpuTime(50, 200), CpuTime(51, 203), 33.3),
        (CpuTime(50, 200), CpuTime(51, 201), 100.0),
        (CpuTime(50, 200), CpuTime(51, 199), 0.0),
        (CpuTime(50, 200), CpuTime(49, 201), 0.0),
        (CpuTime(50, 200), CpuTime(52, 201), 100.0),
    ],
)
def test_processor_use_between_two_readings(before, after, percent):
    assert busy_percent(before, after) == percent
