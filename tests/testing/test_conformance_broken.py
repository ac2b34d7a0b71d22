"""For each fact a server that is right in all but that: the fact, and the run, say so."""

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
from tests.testing.spoiling import Proxy, proxied
from tests.testing.spoils import LATE, SPOILS

LIMITED = "reader"
Tally = Callable[[str, int], None]


def target_at(url: str, cookie: str | None, limited: Client | None = None) -> Target:
    return Target(
        session=Client(url, cookie=cookie),
        user=USER,
        password=PASSWORD,
        image=fresh_image,
        limited=limited,
        reach=Reach.DESTRUCTIVE,
        patience_s=40,
    )


def tried(url: str, cookie: str | None, facts: list[Fact], limited: str | None) -> list[Result]:
    target = target_at(url, cookie, Client(url, cookie=limited))
    try:
        return list(run(target, facts))
    finally:
        target.patience_s = 0.5  # for taking back what a spoiled server says it keeps
        target.close()


async def started(daemon: Daemon) -> tuple[str | None, str | None]:
    """Two sessions' cookies, and an image in slot 1, which runs."""
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
    await daemon.start()  # now slot 1 is known to be whole
    return admin.cookie, limited.cookie


def test_every_fact_has_its_spoiled_server() -> None:
    assert [fact.id for fact in FACTS if fact.id not in SPOILS] == []
    assert sorted(SPOILS) == sorted(fact.id for fact in FACTS)
    assert {name for name, _ in LATE} <= set(SPOILS)


DOWNLOADS = (Section.FETCH, Section.JOBS)
IMAGES = (Section.SLOTS, Section.UPLOAD, Section.TEST, Section.UPGRADE)
REST = tuple(section for section in Section if section not in DOWNLOADS + IMAGES)


@pytest.mark.parametrize(
    "sections", [REST, DOWNLOADS, IMAGES], ids=["reading", "downloads", "images"]
)
async def test_a_spoiled_answer_turns_its_fact(
    tmp_path: Path, sections: tuple[Section, ...], tally: Tally
) -> None:
    facts = [fact for fact in FACTS if fact.section in sections]
    cases = [(fact, SPOILS[fact.id]) for fact in facts]
    cases += [(fact, spoils) for name, spoils in LATE for fact in facts if fact.id == name]
    settings = {
        "fetch": {"attempts": 1},
        "slots": {"count": 40},
        "boot_id": "first",
        "booted_slot": 1,
    }
    async with running(tmp_path, **settings) as daemon:
        cookie, limited = await started(daemon)

        def all_of_them() -> list[str]:
            wrong = []
            with proxied(Proxy(daemon.url)) as proxy:
                for fact, spoils in cases:
                    proxy.spoils = spoils
                    (result,) = tried(proxy.url, cookie, [fact], limited)
                    wanted = Verdict.BROKEN if fact.mark.binds else Verdict.DIFFERS
                    if result.verdict is not wanted or not result.evidence:
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
def test_no_known_fact_holds_at_a_server_of_junk(fixed: tuple[int, bytes], tally: Tally) -> None:
    with proxied(Proxy(fixed=fixed)) as proxy:
        results = tried(proxy.url, "session_id=0", list(FACTS), "session_id=1")
    assert len(results) == len(FACTS)
    held = [one.fact.id for one in results if one.verdict is Verdict.HOLDS]
    bound = {fact.id for fact in FACTS if fact.mark.binds}
    # Where everything is answered with 401, what must be a 401 is one.
    allowed = {"auth.401", "auth.401.write", "auth.401.stale-cookie"} if fixed[0] == 401 else set()
    assert bound.intersection(held) == allowed
    assert all(one.evidence for one in results if one.verdict is not Verdict.HOLDS)
    tally("tries of a fact at servers of junk", len(results))
