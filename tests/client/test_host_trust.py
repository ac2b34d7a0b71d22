"""What spsctl remembers of a host's certificate, and what it does when that changes."""

import json
import ssl
from pathlib import Path

import pytest

from spsd.client.errors import CommandError, Exit
from spsd.client.hosts import Host
from spsd.client.trust import Certificate, Unknown, judge
from tests.authority import DAY, NOW, Authority
from tests.client.hostile_api import HostileApi, serve_hostile_api
from tests.client.processes import Result, Shell

URL = "https://x"
ONE, OTHER = "1" * 64, "2" * 64
VERIFIED, REJECTED = Certificate(ONE, None), Certificate(ONE, "self-signed certificate")


@pytest.mark.parametrize(
    ("host", "certificate", "verdict"),
    [
        (Host(url="http://x"), None, Host(url="http://x")),
        (Host(url=URL), VERIFIED, Host(url=URL, verified=True)),
        (Host(url=URL), REJECTED, Unknown(REJECTED)),
        (
            Host(url=URL, fingerprint=ONE),
            VERIFIED,
            Host(url=URL, fingerprint=ONE, verified=True),
        ),
        (Host(url=URL, fingerprint=ONE), REJECTED, Host(url=URL, fingerprint=ONE)),
        (Host(url=URL, fingerprint=OTHER), VERIFIED, Host(url=URL, verified=True)),
        (Host(url=URL, verified=True), VERIFIED, Host(url=URL, verified=True)),
        (Host(url=URL, ca_file="f"), REJECTED, Host(url=URL, ca_file="f")),
        (
            Host(url=URL, fingerprint=ONE, verified=True),
            REJECTED,
            Host(url=URL, fingerprint=ONE, verified=True),
        ),
    ],
)
def test_a_certificate_is_judged_by_what_is_known(
    host: Host, certificate: Certificate | None, verdict: Host | Unknown
) -> None:
    assert judge(host, certificate) == verdict


@pytest.mark.parametrize(
    "host",
    [
        Host(url=URL, verified=True),
        Host(url=URL, fingerprint=OTHER),
        Host(url=URL, fingerprint=OTHER, verified=True),
    ],
)
def test_what_was_known_better_is_refused(host: Host) -> None:
    with pytest.raises(CommandError) as raised:
        judge(host, REJECTED)
    assert raised.value.exit is Exit.NOT_TRUSTED
    assert "11:11:11" in str(raised.value)


async def log_in(shell: Shell, api: HostileApi, *more: str) -> Result:
    return await shell.run(
        *("login", api.url, "-u", "ann", "--password-file", "-", *more), stdin="secret\n"
    )


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def shell(tmp_path: Path, authority: Authority) -> Shell:
    """A shell in which the authority is the only one of the system."""
    return Shell(tmp_path, changes={"SSL_CERT_FILE": str(authority.file), "SSL_CERT_DIR": ""})


def unknown_context(directory: Path) -> ssl.SSLContext:
    """A certificate of an authority that the shell does not know."""
    (directory / "other").mkdir(exist_ok=True)
    return Authority(directory / "other").context()[0]


def remembered(shell: Shell, url: str) -> dict:
    return json.loads(shell.hosts.read_bytes())["hosts"][url]


async def test_a_host_that_an_authority_verified_is_never_pinned_after_it(
    shell: Shell, authority: Authority, tmp_path: Path
) -> None:
    async with serve_hostile_api(authority.context()[0]) as api:
        assert (await log_in(shell, api)).exit == 0
        assert remembered(shell, api.url)["verified"] is True
        before = shell.hosts.read_bytes()
    expired = authority.context(NOW - 2 * DAY, NOW - DAY)[0]
    for context in (unknown_context(tmp_path), expired):
        async with serve_hostile_api(context, api.port) as other:
            refused = await log_in(shell, other, "--yes")
            assert refused.exit == Exit.NOT_TRUSTED
            assert "At an earlier log-in an authority verified it" in refused.err
            assert f"spsctl forget {api.url}" in refused.err
            slots = await shell.run("slots", "--json")
            assert slots.document["error"]["exit"] == Exit.NOT_TRUSTED
            assert "At an earlier log-in" in slots.document["error"]["message"]
            assert other.log_ins == []
            assert shell.hosts.read_bytes() == before
    # Another spelling of the URL is the same host.
    async with serve_hostile_api(unknown_context(tmp_path), api.port) as other:
        spelled = await shell.run(
            *("login", other.url.upper() + "/", "-u", "ann", "--password-file", "-", "--yes"),
            stdin="secret\n",
        )
        assert spelled.exit == Exit.NOT_TRUSTED
        # On purpose: forgotten, and then pinned.
        assert (await shell.run("forget")).out == f"forgot {api.url}\n"
        assert (await shell.run("slots")).exit == Exit.NOT_LOGGED_IN
        assert (await shell.run("forget", api.url)).exit == Exit.NOT_FOUND
        assert (await log_in(shell, other, "--yes")).exit == 0
        assert (await shell.run("slots")).exit == 0
    assert "verified" not in remembered(shell, api.url)


async def test_a_fingerprint_is_trust_on_purpose(
    shell: Shell, authority: Authority, tmp_path: Path
) -> None:
    async with serve_hostile_api(authority.context()[0]) as api:
        assert (await log_in(shell, api)).exit == 0
    async with serve_hostile_api(unknown_context(tmp_path), api.port) as other:
        refused = await log_in(shell, other)
        fingerprint = refused.err.partition("SHA-256 fingerprint is ")[2].rstrip(".\n")
        assert (await log_in(shell, other, "--fingerprint", fingerprint)).exit == 0
        assert (await shell.run("slots")).exit == 0


async def test_a_renewed_certificate_is_verified_as_before(
    shell: Shell, authority: Authority, tmp_path: Path
) -> None:
    async with serve_hostile_api(authority.context()[0]) as api:
        assert (await log_in(shell, api)).exit == 0
    async with serve_hostile_api(authority.context()[0], api.port) as api:
        assert (await shell.run("slots")).exit == 0
        assert (await log_in(shell, api)).exit == 0
    (tmp_path / "third").mkdir()
    third = Authority(tmp_path / "third")
    shell.changes["SSL_CERT_FILE"] = str(third.file)
    async with serve_hostile_api(third.context()[0], api.port) as api:
        assert (await shell.run("slots")).exit == 0
        assert (await log_in(shell, api)).exit == 0


async def test_a_pinned_host_that_an_authority_verifies_is_recorded(
    shell: Shell, authority: Authority, tmp_path: Path
) -> None:
    async with serve_hostile_api(unknown_context(tmp_path)) as api:
        assert (await log_in(shell, api, "--yes")).exit == 0
        assert "fingerprint" in remembered(shell, api.url)
    async with serve_hostile_api(authority.context()[0], api.port) as api:
        assert (await shell.run("slots")).exit == Exit.NOT_TRUSTED
        noticed = await log_in(shell, api)
        assert noticed.exit == 0
        assert "is no longer the pinned one. An authority verifies the new one" in noticed.err
        assert remembered(shell, api.url)["verified"] is True
        assert "fingerprint" not in remembered(shell, api.url)
    async with serve_hostile_api(unknown_context(tmp_path), api.port) as api:
        assert (await log_in(shell, api, "--yes")).exit == Exit.NOT_TRUSTED
        assert api.log_ins == []
