import pytest

from spsd.adapters.address_policy import AddressPolicy
from spsd.adapters.http_origin import Limits, Trust, open_origin
from spsd.domain.exchange import Ask
from spsd.domain.failure import FailureCode, OriginError

LIMITS = Limits(
    connect_timeout_s=2, minimum_bytes_per_s=1, stall_window_s=2, rate_limit_bytes_per_s=0
)
TRUST = Trust.of("strict", None)


@pytest.mark.parametrize(
    ("address", "refused"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", True),
        ("::", True),
        ("::ffff:0.0.0.0", True),
        ("169.254.169.254", True),
        ("::ffff:169.254.169.254", True),
        ("fe80::1%eth0", True),
        ("224.0.0.1", True),
        ("ff02::1", True),
        ("10.0.0.1", False),
        ("192.168.1.1", False),
        ("8.8.8.8", False),
        ("2001:db8::1", False),
        ("fd00::1", False),
    ],
)
def test_addresses(address, refused):
    assert (AddressPolicy([]).refuses(address) is not None) is refused
    assert AddressPolicy(["0.0.0.0/0", "::/0"]).refuses(address) is None


def test_allow_reaches_no_further():
    policy = AddressPolicy(["127.0.0.5/32", "fe80::/10"])
    assert policy.refuses("127.0.0.5") is None
    assert policy.refuses("::ffff:127.0.0.5") is None
    assert policy.refuses("fe80::1%eth0") is None
    assert policy.refuses("127.0.0.6") == "a loopback address"


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("127.0.0.1", FailureCode.POLICY),
        ("localhost", FailureCode.POLICY),
        ("0.0.0.0", FailureCode.POLICY),
        ("[::1]", FailureCode.POLICY),
        ("[::ffff:127.0.0.1]", FailureCode.POLICY),
        ("169.254.169.254", FailureCode.POLICY),
        ("0x7f.1", FailureCode.POLICY),
        # The client refuses these spellings of IPv4 before anything is looked up.
        ("2130706433", FailureCode.PROTOCOL),
        ("0177.0.0.1", FailureCode.PROTOCOL),
        ("127.1", FailureCode.PROTOCOL),
        ("0", FailureCode.PROTOCOL),
    ],
)
async def test_no_spelling_gets_past_the_connector(host, code):
    async with open_origin(AddressPolicy([]), TRUST, LIMITS) as origin:
        with pytest.raises(OriginError) as caught:
            async with origin.open(f"http://{host}:9/x", Ask()):
                pass
    assert caught.value.code is code
    assert not caught.value.transient
