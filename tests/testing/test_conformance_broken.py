"""Each fact against a server that breaks only this fact: the run must report it."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from spsd.testing.client import Client
from spsd.testing.conformance.fact import Fact, Section
from spsd.testing.conformance.facts import FACTS
from spsd.testing.conformance.image import fresh_image
from spsd.testing.conformance.run import Result, Verdict, run
from spsd.testing.conformance.target import Reach, Target
from testbed.driver import PASSWORD, USER, Daemon, running
from tests.testing.alterations import ALTERATIONS, LATE_ALTERATIONS
from tests.testing.proxy import Proxy, serve_proxy

LIMITED = "reader"
Tally = Callable[[str, int], None]


def make_target(url: str, cookie: str | None, limited: Client | None = None) -> Target:
    return Target(
        session=Client(url, cookie=cookie),
        user=USER,
        password=PASSWORD,
        image=fresh_image,
        limited=limited,
        reach=Reach.DESTRUCTIVE,
        job_timeout_s=40,
    )


def run_facts(url: str, cookie: str | None, facts: list[Fact], limited: str | None) -> list[Result]:
    target = make_target(url, cookie, Client(url, cookie=limited))
    try:
        return list(run(target, facts))
    finally:
        target.job_timeout_s = 0.5  # an altered server may report removed things as still there
        target.close()


async def prepare_daemon(daemon: Daemon) -> tuple[str | None, str | None]:
    """Install an image in slot 1, which runs; return the cookies of the admin and the viewer."""
    await daemon.add_user(LIMITED, "viewer")
    admin, limited = Client(daemon.url), Client(daemon.url)

    def prepare() -> None:
        admin.log_in(USER, PASSWORD)
        limited.log_in(LIMITED, PASSWORD)
        kind = {"Content-Type": "application/octet-stream"}
        path = "/api/upload/firmware"
        assert admin.call("POST", path, content=fresh_image(), headers=kind).status == 200

    await asyncio.to_thread(prepare)
    await daemon.stop()
    await daemon.start()  # a start verifies the image of slot 1
    return admin.cookie, limited.cookie


def test_every_fact_has_an_alteration() -> None:
    assert [fact.id for fact in FACTS if fact.id not in ALTERATIONS] == []
    assert sorted(ALTERATIONS) == sorted(fact.id for fact in FACTS)
    assert {name for name, _ in LATE_ALTERATIONS} <= set(ALTERATIONS)


DOWNLOADS = (Section.FETCH, Section.JOBS)
IMAGES = (Section.SLOTS, Section.UPLOAD, Section.TEST, Section.UPGRADE)
REST = tuple(section for section in Section if section not in DOWNLOADS + IMAGES)


@pytest.mark.parametrize(
    "sections", [REST, DOWNLOADS, IMAGES], ids=["reading", "downloads", "images"]
)
async def test_each_alteration_breaks_its_fact(
    tmp_path: Path, sections: tuple[Section, ...], tally: Tally
) -> None:
    facts = [fact for fact in FACTS if fact.section in sections]
    cases = [(fact, ALTERATIONS[fact.id]) for fact in facts]
    cases += [
        (fact, alterations)
        for name, alterations in LATE_ALTERATIONS
        for fact in facts
        if fact.id == name
    ]
    settings = {
        "fetch": {"attempts": 1},
        "slots": {"count": 40},
        "boot_id": "first",
        "booted_slot": 1,
    }
    async with running(tmp_path, **settings) as daemon:
        cookie, limited = await prepare_daemon(daemon)

        def all_of_them() -> list[str]:
            wrong = []
            with serve_proxy(Proxy(daemon.url)) as proxy:
                for fact, alterations in cases:
                    proxy.alterations = alterations
                    (result,) = run_facts(proxy.url, cookie, [fact], limited)
                    expected = Verdict.BROKEN if fact.mark.binds else Verdict.DIFFERS
                    if result.verdict is not expected or not result.evidence:
                        wrong.append(f"{fact.id}: {result.verdict}, {result.evidence}")
            return wrong

        assert await asyncio.to_thread(all_of_them) == []
    tally("servers with one answer spoiled, each noticed by the fact it breaks", len(cases))


JUNK = [
    (500, b"{}"),
    (404, b"{}"),
    (401, b"{}"),
    (200, b"{}"),
    (200, b"[]"),
    (200, b"null"),
    (200, b"<html></html>"),
    (200, b"[" * 100_000),
    (200, b'{"items": [[], 7, null, {"key": {}, "meta": []}], "meta": "m", "body": [1]}'),
    (202, b'{"key": 7, "meta": {}, "error": {"type": null}}'),
    (204, b""),
    (400, b'{"error": {"type": ["A"], "details": 3}}'),
]


@pytest.mark.parametrize("fixed", JUNK, ids=[f"{code} {text[:20]!r}" for code, text in JUNK])
def test_no_binding_fact_holds_for_meaningless_responses(
    fixed: tuple[int, bytes], tally: Tally
) -> None:
    with serve_proxy(Proxy(fixed=fixed)) as proxy:
        results = run_facts(proxy.url, "session_id=0", list(FACTS), "session_id=1")
    assert len(results) == len(FACTS)
    held = [result.fact.id for result in results if result.verdict is Verdict.HOLDS]
    bound = {fact.id for fact in FACTS if fact.mark.binds}
    # Facts that expect a 401 hold if every response is a 401.
    allowed = {"auth.401", "auth.401.write", "auth.401.stale-cookie"} if fixed[0] == 401 else set()
    assert bound.intersection(held) == allowed
    assert all(result.evidence for result in results if result.verdict is not Verdict.HOLDS)
    tally("tries of a fact at servers of junk", len(results))
