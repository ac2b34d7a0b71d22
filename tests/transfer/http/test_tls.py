"""Verification of origins, and the evidence of verified and unverified connections."""

import asyncio
import hashlib
import ssl
import sys
from contextlib import asynccontextmanager
from datetime import datetime

import pytest

from spsd.failures import FailureCode, OriginError
from spsd.testing.origin import Origin
from spsd.transfer.http.addresses import AddressPolicy
from spsd.transfer.http.origin import Limits, open_origin
from spsd.transfer.http.tls import Trust
from spsd.transfer.rules.messages import RangeRequest
from tests.authority import DAY, NOW, Authority, as_python_does
from tests.transfer.http.bodies import body_of

LIMITS = Limits(
    connect_timeout_s=5, minimum_bytes_per_s=1, stall_window_s=5, rate_limit_bytes_per_s=0
)
every_policy = pytest.mark.parametrize("policy", ["checksum", "strict"])
every_python = pytest.mark.parametrize("python", ["3.12", "3.13"])
"""The defaults of these Python versions, simulated if another one runs."""


@pytest.fixture
async def authority(tmp_path):
    return await asyncio.to_thread(Authority, tmp_path)


@asynccontextmanager
async def serving(authority, **settings):
    context, der = await asyncio.to_thread(lambda: authority.context(**settings))
    async with Origin({"/a": b"a"}, ssl_context=context) as origin:
        yield origin, hashlib.sha256(der).digest().hex(":").upper()


async def evidence(url, policy, ca_file=None):
    trust = await asyncio.to_thread(Trust.for_policy, policy, ca_file)
    async with (
        open_origin(AddressPolicy(["127.0.0.0/8"]), trust, LIMITS) as origin,
        origin.open(url, RangeRequest()) as response,
    ):
        assert await body_of(response) == b"a"
        return response.evidence


async def failure(url, policy, ca_file=None):
    with pytest.raises(OriginError) as caught:
        await evidence(url, policy, ca_file)
    return caught.value


@every_policy
async def test_verified_with_the_configured_authorities(authority, policy):
    async with serving(authority) as (origin, fingerprint):
        facts = await evidence(origin.url("/a"), policy, authority.file)
        shown = facts.pop("certificate sha256").split()
        assert facts == {"status": 200, "tls": "verified"}
        assert shown[0] == fingerprint
        # Before 3.13 there is no public way to the rest of the chain.
        assert len(shown) == (2 if sys.version_info >= (3, 13) else 1)


@every_policy
@every_python
async def test_an_authority_without_key_identifiers_is_one(authority, policy, python, monkeypatch):
    as_python_does(python, monkeypatch)
    async with serving(authority) as (origin, _):
        facts = await evidence(origin.url("/a"), policy, authority.file)
        assert facts["tls"] == "verified"


@every_policy
@every_python
@pytest.mark.parametrize("named", ["the intermediate", "the origin itself"])
async def test_a_certificate_in_ca_file_is_accepted_without_its_issuer(
    authority, policy, python, named, monkeypatch
):
    as_python_does(python, monkeypatch)
    lower = await asyncio.to_thread(authority.under)
    context, der = await asyncio.to_thread(lower.context)
    if named == "the origin itself":
        lower.file.write_text(ssl.DER_cert_to_PEM_cert(der))
    async with Origin({"/a": b"a"}, ssl_context=context) as origin:
        facts = await evidence(origin.url("/a"), policy, lower.file)
        assert facts["tls"] == "verified"


@every_python
async def test_a_certificate_signed_by_a_non_authority_is_refused(authority, python, monkeypatch):
    as_python_does(python, monkeypatch)
    context, _ = await asyncio.to_thread(lambda: authority.under(is_authority=False).context())
    async with Origin({"/a": b"a"}, ssl_context=context) as origin:
        error = await failure(origin.url("/a"), "strict", authority.file)
        assert error.code is FailureCode.TLS
        assert "invalid CA certificate" in error.what


async def test_another_authority_is_not_enough(authority):
    async with serving(authority) as (origin, fingerprint):
        facts = await evidence(origin.url("/a"), "checksum")
        assert facts["tls"].startswith("not verified (")
        assert facts["certificate sha256"].split()[0] == fingerprint
        assert "our clock" not in facts
        requests_before = len(origin.requests)
        error = await failure(origin.url("/a"), "strict")
        assert error.code is FailureCode.TLS
        assert len(origin.requests) == requests_before


async def test_the_wrong_host(authority):
    async with serving(authority, host="127.0.0.9") as (origin, _):
        error = await failure(origin.url("/a"), "strict", authority.file)
        assert "IP address mismatch" in error.what
        assert origin.requests == []


TIMES = [
    pytest.param(NOW - 3 * DAY, NOW - DAY, "certificate has expired", id="expired"),
    pytest.param(NOW + DAY, NOW + 3 * DAY, "certificate is not yet valid", id="early"),
]


def validity_evidence(begins, ends):
    form = "%Y-%m-%dT%H:%M:%SZ"
    return {"certificate valid from": begins.strftime(form), "until": ends.strftime(form)}


@pytest.mark.parametrize(("begins", "ends", "reason"), TIMES)
async def test_a_certificate_of_another_time_is_reported_with_both_clocks(
    authority, begins, ends, reason
):
    async with serving(authority, begins=begins, ends=ends) as (origin, _):
        facts = await evidence(origin.url("/a"), "checksum", authority.file)
        assert facts["tls"] == f"not verified ({reason})"
        assert facts.items() >= validity_evidence(begins, ends).items()
        assert abs(datetime.fromisoformat(facts["our clock"]) - NOW) < DAY
        assert abs(facts["ahead of the origin's by seconds"]) < 5


@pytest.mark.parametrize(("begins", "ends", "reason"), TIMES)
async def test_strict_inspects_the_certificate_without_sending_a_secret(
    authority, begins, ends, reason
):
    async with serving(authority, begins=begins, ends=ends) as (origin, _):
        url = origin.url("/secret/a").replace("//", "//ann:word@") + "?signed"
        error = await failure(url, "strict", authority.file)
        assert error.code is FailureCode.TLS
        assert error.what.endswith(reason)
        assert error.evidence.items() >= validity_evidence(begins, ends).items()
        assert abs(error.evidence["ahead of the origin's by seconds"]) < 5
        assert "word" not in error.sentence()
        assert "signed" not in error.sentence()
        [request] = origin.requests
        assert (request.method, request.path) == ("HEAD", "/")
        assert "authorization" not in request.headers
        assert "signed" not in str(request)


async def test_strict_without_a_second_response_reports_the_own_clock(authority):
    """The origin is no longer there when its certificate is inspected."""
    context, _ = await asyncio.to_thread(
        lambda: authority.context(begins=NOW - 3 * DAY, ends=NOW - DAY)
    )
    closing: list[asyncio.AbstractServer] = []

    async def once(reader, writer):
        closing[0].close()
        writer.close()

    server = await asyncio.start_server(once, "127.0.0.1", 0, ssl=context)
    closing.append(server)
    port = server.sockets[0].getsockname()[1]
    # Only the handshake is served, and it fails on our side; the next connection is refused or cut.
    error = await failure(f"https://127.0.0.1:{port}/a", "strict", authority.file)
    server.close()
    assert error.code is FailureCode.TLS
    assert "our clock" in error.evidence
