"""Downloads as server-sent events, over a real socket."""

import asyncio
import gc
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from dataclasses import replace

import pytest
from aiohttp.test_utils import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from spsd.accounts.model import Role, Session
from spsd.errors import ResourceNotFoundError, TooManyReadersError
from spsd.jobs.feed import REMOVALS_KNOWN, RESUME_LINES, Change
from spsd.jobs.job import Job, JobKey, Selection
from spsd.limits import Limits
from spsd.transfer.ports import Progress
from spsd.web.api.events import (
    PAGE,
    RESUME_BYTES,
    EventPosition,
    LiveBatches,
    _PlaceLostError,
    _snapshot,
    parse_position,
)
from spsd.web.followers import FOLLOWERS, Followers
from spsd.web.limits import FollowerShares, WebLimits
from spsd.web.links import FETCH
from testbed.waiting import until
from tests.events import ACCEPT, Stream
from tests.web.conftest import IDLE_S, LIMITS, Api


@asynccontextmanager
async def stream(client: TestClient, path: str = FETCH, **headers: str) -> AsyncIterator[Stream]:
    # Not with CheckedClient, which reads to the end of the response.
    request = client.session.get(client.make_url(path), headers=ACCEPT | headers)
    async with request as response:
        assert response.status == 200, await response.text()
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Content-Language"] == "en"
        assert "GET" in response.headers["Allow"]
        yield Stream(response)


def after(event_id: str) -> dict[str, str]:
    return {"Last-Event-ID": event_id}


async def queued(api: Api, key: str = "a") -> Job:
    job = Job.submitted(JobKey(key), f"http://x/{key}", "a" * 64, now=1)
    await api.jobs.add(job)
    return job


async def test_a_snapshot_and_then_each_change(api: Api) -> None:
    client, job = await api.client("viewer"), await queued(api)
    async with stream(client) as events:
        plain = await (await client.get(FETCH)).json()
        first = await events.next()
        assert (first.event, first.data) == ("snapshot", plain)
        await queued(api, "b")
        assert (await events.next()).data["key"] == "b"
        job = await api.jobs.move(job, job.start(1, now=2))
        started = await events.next()
        listed = (await (await client.get(FETCH)).json())["items"][0]
        assert (started.event, started.data) == ("download", listed)
        api.board.post(job.key, Progress(7, 9))
        assert (await events.next()).data["body"]["bytes_downloaded"] == 7
        job = await api.jobs.move(job, job.cancelled(Progress(7, 9), now=3))
        await events.until(status="cancelled")
        await api.jobs.remove(job)
        removed = await events.next()
        assert (removed.event, removed.data) == ("removed", {"key": "a"})


async def test_one_download_until_its_removal(api: Api) -> None:
    client, job, other = await api.client("viewer"), await queued(api), await queued(api, "b")
    async with stream(client, f"{FETCH}/a") as events:
        plain = await (await client.get(f"{FETCH}/a")).json()
        first = await events.next()
        assert (first.event, first.data) == ("download", plain)
        await api.jobs.move(other, other.cancelled(Progress(), now=2))
        job = await api.jobs.move(job, job.cancelled(Progress(), now=3))
        second = await events.next()
        plain = await (await client.get(f"{FETCH}/a")).json()
        assert (second.event, second.data) == ("download", plain)
        await api.jobs.remove(job)
        assert (await events.next()).event == "removed"
        assert await events.next() is None


async def test_a_client_that_reconnects_receives_what_it_missed(api: Api) -> None:
    client, job, removed = await api.client("viewer"), await queued(api), await queued(api, "gone")
    await queued(api, "quiet")
    async with stream(client) as events:
        last = (await events.next()).id
    await api.jobs.move(job, job.start(1, now=2))
    await api.jobs.remove(removed)
    await queued(api, "new")
    async with stream(client, **after(last)) as events:
        missed = [await events.next() for _ in range(3)]
    assert [(event.event, event.data["key"]) for event in missed] == [
        ("removed", "gone"),
        ("download", "a"),
        ("download", "new"),
    ]
    async with stream(client, **after(missed[1].id)) as events:
        assert (await events.next()).data["key"] == "new"
    async with stream(client, **after(missed[2].id)) as events:
        await queued(api, "newest")
        assert (await events.next()).data["key"] == "newest"


@pytest.mark.parametrize(
    "last",
    [
        "",
        "x",
        "0.0.0",
        "{life}.1.0",
        "{life}.0.x",
        "{life}.-1.0",
        "{life}.0.-1",
        "{life}..0",
        "{life}.0.",
        "{life}.0.1",  # there is no transition yet
        "{life}.0.\u0661",
        "{life}.0." + "9" * 5000,
        "{life}." + "9" * 5000 + ".0",
        "{life}.0.9223372036854775807",
        "{life}.0.9223372036854775808",
        "{life}.9223372036854775808.0",
        "{life}.0.0.0",
        "." * 5000,
    ],
)
async def test_an_unknown_id_begins_with_a_snapshot(api: Api, last: str) -> None:
    client = await api.client("viewer")
    last = last.format(life=api.feed.revisions.life)
    async with stream(client, **after(last)) as events:
        assert (await events.next()).event == "snapshot"


async def test_a_forgotten_removal_begins_with_a_snapshot(api: Api) -> None:
    client = await api.client("viewer")
    async with stream(client) as events:
        last = (await events.next()).id
    for number in range(REMOVALS_KNOWN + 1):
        api.feed.gone(JobKey(str(number)))
    async with stream(client, **after(last)) as events:
        assert (await events.next()).event == "snapshot"


async def test_a_client_that_missed_too_much_begins_with_a_snapshot(api: Api) -> None:
    client = await api.client("viewer")
    async with stream(client) as events:
        last = (await events.next()).id
    for number in range(RESUME_LINES):
        await queued(api, str(number))
    async with stream(client, **after(last)) as events:
        assert (await events.next()).event == "download"
    await queued(api, "one more")
    async with stream(client, **after(last)) as events:
        snapshot = await events.next()
        assert (snapshot.event, len(snapshot.data["items"])) == ("snapshot", RESUME_LINES + 1)


async def test_a_client_that_missed_long_events_begins_with_a_snapshot(api: Api) -> None:
    client = await api.client("viewer")
    async with stream(client) as events:
        last = (await events.next()).id
    for number in range(RESUME_BYTES // 8192 + 1):
        url = f"http://x/{'a' * 8192}"
        await api.jobs.add(Job.submitted(JobKey(str(number)), url, "a" * 64, now=1))
    async with stream(client, **after(last)) as events:
        assert [await events.line() for _ in range(2)][1] == b"event: snapshot\n"


async def test_resumes_leave_nothing_in_memory(api: Api) -> None:
    client = await api.client("viewer")
    async with stream(client) as events:
        last = (await events.next()).id
    for number in range(RESUME_LINES):
        await queued(api, str(number))
    gc.collect()
    before = changes_in_memory()
    for _ in range(10):
        async with stream(client, **after(last)) as events:
            assert (await events.next()).event == "download"
    async with asyncio.timeout(20):
        while api.feed.subscribers:
            api.feed.gone(JobKey("x"))  # a failed write shows the disconnection
            await asyncio.sleep(0.01)  # no event shows when TCP has noticed it
    gc.collect()
    assert changes_in_memory() - before < RESUME_LINES


def changes_in_memory() -> int:
    return sum(isinstance(each, Change) for each in gc.get_objects())


@given(st.lists(st.tuples(st.integers(0, 120), st.integers(0, 20_000)), max_size=40))
def test_few_batches_are_held_however_many_and_long_they_are(
    batches: list[tuple[int, int]],
) -> None:
    live, position = LiveBatches(), EventPosition("life", 0, 0)
    job = Job.submitted(JobKey("a"), "http://x/", "a" * 64, now=1)
    for count, size in batches:
        changes = tuple(Change(job, number) for number in range(count))
        encoded = live.encoded(position, changes, lambda _, size=size: b"x" * size)
        assert encoded[1].count(b"event: download") == count
        assert len(live) <= LiveBatches.MOST
        assert live.held_bytes <= LiveBatches.MOST_BYTES


def test_a_batch_is_encoded_once_for_all_subscribers() -> None:
    live, position = LiveBatches(), EventPosition("life", 0, 0)
    changes = (Change(Job.submitted(JobKey("a"), "http://x/", "a" * 64, now=1), 1),)
    calls = []

    def encode(change: Change) -> bytes:
        calls.append(change)
        return b"x"

    batches = [live.encoded(position, changes, encode) for _ in range(3)]
    assert len(set(batches)) == 1
    assert len(calls) == 1


@pytest.mark.parametrize("count", [0, 1, PAGE, PAGE + 1, 2 * PAGE])
async def test_a_snapshot_in_pages_is_the_document_of_the_list(api: Api, count: int) -> None:
    client = await api.client("viewer")
    for number in range(count):
        await queued(api, str(number))
    async with stream(client) as events:
        assert (await events.next()).data == await (await client.get(FETCH)).json()


@settings(max_examples=50)
@given(
    st.integers(0, 4 * PAGE),
    st.lists(st.sets(st.integers(0, 4 * PAGE), max_size=PAGE - 1), max_size=6),
)
def test_records_that_are_removed_during_a_snapshot_hide_no_others(
    count: int, removals: list[set[int]]
) -> None:
    every = [Job.submitted(JobKey(str(n)), "http://x/", "a" * 64, now=1) for n in range(count)]
    kept, steps = list(every), iter(removals)

    async def read_page(selection: Selection) -> list[Job]:
        gone = {str(number) for number in next(steps, ())}
        kept[:] = [job for job in kept if job.key not in gone]
        start = 0
        if selection.after is not None:
            keys = [job.key for job in kept]
            if selection.after not in keys:
                raise ResourceNotFoundError("removed")
            start = keys.index(selection.after) + 1
        return kept[start : start + (selection.limit or 0)]

    async def snapshot() -> bytes:
        pages = _snapshot(EventPosition("life", 0, 0), read_page)
        return b"".join([piece async for piece in pages])

    try:
        text = asyncio.run(snapshot())
    except _PlaceLostError:
        return
    data = json.loads(text.split(b"data: ")[1])
    keys = [item["key"] for item in data["items"]]
    assert len(set(keys)) == len(keys)
    assert keys == sorted(keys, key=int)
    assert {job.key for job in kept} <= set(keys)


async def test_a_quiet_stream_ends_with_its_session(api: Api) -> None:
    await api.start(limits=replace(LIMITS, web=WebLimits(event_keepalive_s=0.05)))
    client, other = await api.client("viewer"), await api.client("admin")
    async with stream(client) as events:
        assert (await events.next()).event == "snapshot"
        await other.delete("/api/authentication")
        assert [await events.line() for _ in range(4)] == [b": \n", b"\n"] * 2
        await client.delete("/api/authentication")
        assert await events.next() is None


async def test_closing_the_feed_ends_every_stream(api: Api) -> None:
    client, _ = await api.client("viewer"), await queued(api)
    async with stream(client) as everything, stream(client, f"{FETCH}/a") as single:
        api.feed.close()
        for each in (everything, single):
            await each.next()
            assert await each.next() is None
    async with stream(client) as late:
        await late.next()
        assert await late.next() is None


async def test_a_disconnected_subscriber_is_removed(api: Api) -> None:
    client = await api.client("viewer")
    async with stream(client) as events:
        await events.next()
        assert api.feed.subscribers == 1
    async with asyncio.timeout(20):
        while api.feed.subscribers:
            api.feed.gone(JobKey("x"))  # a failed write shows the disconnection
            await asyncio.sleep(0.01)  # no event shows when TCP has noticed it


async def test_the_number_of_streams_is_limited(api: Api) -> None:
    await api.start(limits=sharing(total=1, admins=0))
    client = await api.client("viewer")
    async with stream(client) as events:
        await events.next()
        await refused(client, "appliance", 1)
        assert (await client.get(FETCH)).status == 200


def sharing(**shares: int) -> Limits:
    return replace(LIMITS, web=WebLimits(followers=FollowerShares(**shares)))


async def refused(client: TestClient, limit: str, most: int) -> None:
    response = await client.get(FETCH, headers=ACCEPT)
    assert response.status == 503
    assert response.headers["Retry-After"] == "5"
    error = (await response.json())["error"]
    assert error["type"] == "TooManyReaders"
    assert error["details"] == {"limit": limit, "most": most}


async def test_no_session_takes_the_streams_of_others(api: Api) -> None:
    await api.start(limits=sharing(total=20, account=4, session=2, admins=0))
    first, second, third = [await api.client("viewer") for _ in range(3)]
    admin = await api.client("admin")
    async with AsyncExitStack() as stack:

        async def open_stream(client: TestClient) -> None:
            events = await stack.enter_async_context(stream(client))
            assert (await events.next()).event == "snapshot"

        for client in (first, first):
            await open_stream(client)
        await refused(first, "session", 2)
        for client in (second, second):
            await open_stream(client)
        await refused(third, "account", 4)
        for client in (admin, admin):
            await open_stream(client)


async def test_viewers_leave_some_streams_to_admins(api: Api) -> None:
    await api.start(limits=sharing(total=3, admins=1))
    viewer, admin = await api.client("viewer"), await api.client("admin")
    async with stream(viewer) as first, stream(viewer) as second:
        await first.next()
        await second.next()
        await refused(viewer, "viewers", 2)
        async with stream(admin) as third:
            await third.next()
            await refused(admin, "appliance", 3)
        # The daemon notices later that the client has closed its end.
        followers, other = admin.server.app[FOLLOWERS], Session("other", Role.ADMIN, 1)
        await until(lambda: followers.refusal(other) is None)
        async with stream(admin) as third:
            assert (await third.next()).event == "snapshot"


SESSION_STEPS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.booleans()), max_size=60
)


@given(SESSION_STEPS)
def test_no_sequence_exceeds_a_share_and_each_end_frees_its_place(steps) -> None:
    shares = FollowerShares(total=8, account=4, session=2, admins=3)
    followers, held = Followers(shares), []
    for session_id, account, begins in steps:
        role = Role.ADMIN if account == "x" else Role.VIEWER
        session = Session(account, role, 1, id=f"{account}{session_id}")
        if not begins and held:
            held.pop(0)[1].close()
            continue
        stack = ExitStack()
        with suppress(TooManyReadersError):
            stack.enter_context(followers.admitted(session))
            held.append((session, stack))
        assert len(held) <= shares.total
        for counted, most in (("account", shares.account), ("id", shares.session)):
            counts = Counter(getattr(each, counted) for each, _ in held)
            assert max(counts.values(), default=0) <= most
        if session.role is Role.VIEWER and held and held[-1][0] is session:
            assert len(held) <= shares.total - shares.admins
    for _, stack in held:
        stack.close()
    assert all(followers.refusal(Session(name, Role.VIEWER, 1, id=name)) is None for name in "xyz")


async def test_a_stream_renews_no_session_and_ends_with_it(api: Api) -> None:
    await api.start(limits=replace(LIMITS, web=WebLimits(event_keepalive_s=0.02)))
    client = await api.client("viewer")
    async with stream(client) as events:
        assert (await events.next()).event == "snapshot"
        for _ in range(3):
            api.clock.seconds += IDLE_S // 3 - 1
            assert [await events.line() for _ in range(4)] == [b": \n", b"\n"] * 2
        api.clock.seconds += 3
        assert await events.next() is None
    assert (await client.get("/api/user_info")).status == 401


async def test_a_stream_ends_at_the_longest_duration_of_its_session(api: Api) -> None:
    await api.start(limits=replace(LIMITS, web=WebLimits(event_keepalive_s=0.02)))
    client = await api.client("viewer")
    begun, longest_s = api.clock.seconds, api.settings.server.session_hours * 3600
    async with stream(client) as events:
        assert (await events.next()).event == "snapshot"
        for elapsed in range(IDLE_S - 1, longest_s, IDLE_S - 1):
            api.clock.seconds = begun + elapsed
            assert (await client.get("/api/user_info")).status == 200
        assert [await events.line() for _ in range(4)] == [b": \n", b"\n"] * 2
        api.clock.seconds = begun + longest_s
        assert await events.next() is None


@pytest.mark.parametrize("path", [f"{FETCH}?status=queued", f"{FETCH}/a?wait=3"])
async def test_a_stream_has_no_query(api: Api, path: str) -> None:
    client, _ = await api.client("viewer"), await queued(api)
    response = await client.get(path, headers=ACCEPT)
    assert response.status == 400
    assert (await response.json())["error"]["type"] == "InvalidQuery"


@pytest.mark.parametrize(
    ("accept", "streams"),
    [
        ("text/event-stream", True),
        ("Text/Event-Stream;q=0.9, */*", True),
        ("application/json, text/event-stream", True),
        ("*/*", False),
        ("text/*", False),
        ("application/octet-stream", False),
    ],
)
async def test_the_accept_field_that_selects_a_stream(api: Api, accept: str, streams: bool) -> None:
    client = await api.client("viewer")
    async with client.session.get(client.make_url(FETCH), headers={"Accept": accept}) as response:
        assert response.content_type == ("text/event-stream" if streams else "application/json")


async def test_requests_that_get_no_stream(api: Api) -> None:
    client = await api.client("viewer")
    assert (await client.get(f"{FETCH}/none", headers=ACCEPT)).status == 404
    assert (await client.head(FETCH, headers=ACCEPT)).content_type == "application/json"
    anonymous = await api.client(None)
    assert (await anonymous.get(FETCH, headers=ACCEPT)).status == 401


def test_a_position_is_parsed_from_its_text() -> None:
    position = EventPosition("abc", 3, 17)
    assert parse_position(str(position), life="abc") == position
    for text in ("", "abc", "abc.3", "abc.3.17.1", "abc.3.\u0661", "abc..1", "abd.3.17"):
        assert parse_position(text, life="abc") is None
