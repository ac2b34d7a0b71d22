"""Accounts and sessions over a real database, with a clock that the test sets."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

import argon2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsd.accounts.argon2 import Argon2Passwords
from spsd.accounts.model import FREE_FAILURES, Role, Session, SessionLimits, StoredSession
from spsd.accounts.service import TOUCH_S, Accounts
from spsd.accounts.sqlite import SqliteAccounts
from spsd.errors import AccountError, TooManyAttemptsError, UnauthenticatedError
from spsd.storage.database import Database, open_database
from spsd.storage.migrations import migrate

IDLE_S = 1200
LONGEST_S = 12 * 3600
PASSWORD = "correct horse"


@dataclass
class Clock:
    seconds: int = 1_900_000_000

    def __call__(self) -> int:
        return self.seconds


@dataclass
class QuickPasswords:
    """Compares plain text after some turns of the loop, and records what it verified."""

    verified: list[str | None] = field(default_factory=list)

    async def hash(self, password: str) -> str:
        return f"plain:{password}"

    async def verify(self, password_hash: str | None, password: str) -> bool:
        self.verified.append(password_hash)
        for _ in range(3):
            await asyncio.sleep(0)
        return password_hash == f"plain:{password}"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def passwords() -> QuickPasswords:
    return QuickPasswords()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    await asyncio.to_thread(migrate, tmp_path / "spsd.sqlite")
    async with open_database(tmp_path / "spsd.sqlite") as opened:
        yield opened


@pytest.fixture
async def accounts(database: Database, passwords: QuickPasswords, clock: Clock) -> Accounts:
    built = Accounts(
        SqliteAccounts(database),
        passwords,
        limits=SessionLimits(IDLE_S, LONGEST_S),
        now=clock,
    )
    await built.add("ada", PASSWORD, Role.ADMIN)
    return built


async def logged_in(accounts: Accounts, name: str = "ada") -> str:
    return (await accounts.log_in(name, PASSWORD, peer="p")).token


async def seen_at(database: Database) -> list[int]:
    return [row["seen_at"] for row in await database.rows("SELECT seen_at FROM session")]


@pytest.mark.parametrize("name", ["a", "A.b_c@d-9", "x" * 64])
async def test_valid_names_are_accepted(accounts: Accounts, name: str) -> None:
    await accounts.add(name, PASSWORD, Role.VIEWER)
    assert [a.name for a in await accounts.list()] == sorted(["ada", name])


@pytest.mark.parametrize("name", ["", "x" * 65, "a b", "a:b", "ü", "a/b", "a\n"])
async def test_invalid_names_are_refused(accounts: Accounts, name: str) -> None:
    with pytest.raises(AccountError, match="use 1 to 64 letters, digits and"):
        await accounts.add(name, PASSWORD, Role.VIEWER)
    assert [a.name for a in await accounts.list()] == ["ada"]


@pytest.mark.parametrize("password", ["", "x" * 1025])
async def test_empty_and_too_long_passwords_are_refused(accounts: Accounts, password: str) -> None:
    before = await accounts.list()
    with pytest.raises(AccountError, match="must have 1 to 1024 characters"):
        await accounts.add("bob", password, Role.VIEWER)
    with pytest.raises(AccountError, match="must have 1 to 1024 characters"):
        await accounts.set_password("ada", password)
    assert await accounts.list() == before


async def test_a_name_is_taken_once(accounts: Accounts) -> None:
    before = await accounts.list()
    with pytest.raises(AccountError, match="exists already; `spsd user password ada`"):
        await accounts.add("ada", "another password", Role.VIEWER)
    assert await accounts.list() == before


async def test_an_unknown_account_cannot_be_changed_or_removed(accounts: Accounts) -> None:
    with pytest.raises(AccountError, match="no user bob; `spsd user list`"):
        await accounts.set_password("bob", PASSWORD)
    with pytest.raises(AccountError, match="no user bob; `spsd user list`"):
        await accounts.remove("bob")


async def test_a_log_in_opens_a_session(accounts: Accounts, database: Database) -> None:
    opened = await accounts.log_in("ada", PASSWORD, peer="p")
    assert re.fullmatch("[0-9a-f]{40}", opened.token)
    assert opened.session == Session("ada", Role.ADMIN, IDLE_S, touched=True)
    assert await accounts.session(opened.token) == Session("ada", Role.ADMIN, IDLE_S)
    stored = [row["token_hash"] for row in await database.rows("SELECT token_hash FROM session")]
    assert stored == [hashlib.sha256(opened.token.encode()).hexdigest()]


async def test_tokens_are_unique(accounts: Accounts) -> None:
    assert len({await logged_in(accounts) for _ in range(20)}) == 20


@pytest.mark.parametrize("token", ["", "0" * 40, "ü", "\udcff", "' OR 1=1 --"])
async def test_unknown_tokens_open_nothing(accounts: Accounts, token: str) -> None:
    await logged_in(accounts)
    assert await accounts.session(token) is None


async def test_the_hash_of_a_token_opens_nothing(accounts: Accounts) -> None:
    token = await logged_in(accounts)
    assert await accounts.session(hashlib.sha256(token.encode()).hexdigest()) is None


async def test_use_is_recorded_at_most_every_touch_interval(
    accounts: Accounts, database: Database, clock: Clock
) -> None:
    token, begun = await logged_in(accounts), clock.seconds
    clock.seconds += TOUCH_S - 1
    assert await accounts.session(token) == Session("ada", Role.ADMIN, IDLE_S - TOUCH_S + 1)
    assert await seen_at(database) == [begun]
    clock.seconds += 1
    assert await accounts.session(token) == Session("ada", Role.ADMIN, IDLE_S, touched=True)
    assert await seen_at(database) == [begun + TOUCH_S]


async def test_an_idle_session_ends(accounts: Accounts, clock: Clock) -> None:
    token = await logged_in(accounts)
    clock.seconds += IDLE_S - 1
    assert await accounts.session(token) is not None
    clock.seconds += IDLE_S
    assert await accounts.session(token) is None


async def test_a_clock_that_is_set_back_lengthens_no_session(
    accounts: Accounts, clock: Clock
) -> None:
    token = await logged_in(accounts)
    clock.seconds -= 1_000_000
    assert await accounts.session(token) == Session("ada", Role.ADMIN, IDLE_S, touched=True)
    clock.seconds += IDLE_S
    assert await accounts.session(token) is None


async def test_a_session_ends_so_long_after_its_log_in_however_much_it_is_used(
    accounts: Accounts, database: Database, clock: Clock
) -> None:
    token, begun = await logged_in(accounts), clock.seconds
    while clock.seconds + IDLE_S - 1 < begun + LONGEST_S:
        clock.seconds += IDLE_S - 1
        session = await accounts.session(token)
        assert session is not None
        assert session.remaining_s == min(IDLE_S, begun + LONGEST_S - clock.seconds)
    clock.seconds = begun + LONGEST_S - 1
    assert await accounts.session(token) == Session("ada", Role.ADMIN, 1, touched=True)
    clock.seconds += 1
    assert await accounts.session(token) is None
    clock.seconds += 1
    await logged_in(accounts)
    assert await seen_at(database) == [clock.seconds]


async def test_the_id_of_a_session_stays_and_is_not_that_of_another(accounts: Accounts) -> None:
    first = await accounts.log_in("ada", PASSWORD, peer="p")
    second = await accounts.log_in("ada", PASSWORD, peer="p")
    found = [await accounts.session(each.token) for each in (first, second, first)]
    ids = [session.id for session in found if session is not None]
    assert ids == [first.session.id, second.session.id, first.session.id]
    assert len(set(ids)) == 2
    assert await accounts.session(ids[0]) is None
    assert Session("ada", Role.ADMIN, 1).id == ""


async def test_a_request_that_is_no_use_renews_nothing(
    accounts: Accounts, database: Database, clock: Clock
) -> None:
    token, begun = await logged_in(accounts), clock.seconds
    for elapsed in range(TOUCH_S, IDLE_S, TOUCH_S):
        clock.seconds = begun + elapsed
        expected = Session("ada", Role.ADMIN, IDLE_S - elapsed)
        assert await accounts.session(token, renew=False) == expected
    assert await seen_at(database) == [begun]
    clock.seconds = begun + IDLE_S
    assert await accounts.session(token, renew=False) is None


@pytest.mark.parametrize("renew", [True, False])
async def test_a_clock_that_is_set_back_lengthens_no_session_beyond_its_longest_duration(
    accounts: Accounts, clock: Clock, renew: bool
) -> None:
    token = await logged_in(accounts)
    clock.seconds -= 1_000_000
    set_back = clock.seconds
    assert await accounts.session(token, renew=renew) is not None
    for elapsed in range(0, LONGEST_S, IDLE_S - 1):
        clock.seconds = set_back + elapsed
        assert await accounts.session(token) is not None
    clock.seconds = set_back + LONGEST_S
    assert await accounts.session(token) is None


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_session_never_outlasts_either_limit(created: int, seen: int, now: int) -> None:
    limits = SessionLimits(IDLE_S, LONGEST_S)
    remaining_s = limits.remaining_s(StoredSession("ada", Role.ADMIN, created, seen), now=now)
    assert remaining_s <= min(IDLE_S, LONGEST_S)
    assert (remaining_s <= 0) == (now - seen >= IDLE_S or now - created >= LONGEST_S)


async def test_ended_sessions_are_forgotten_at_the_next_log_in(
    accounts: Accounts, database: Database, clock: Clock
) -> None:
    await logged_in(accounts)
    clock.seconds += IDLE_S + 1
    await logged_in(accounts)
    assert await seen_at(database) == [clock.seconds]


async def test_log_out_ends_one_session(accounts: Accounts) -> None:
    closed, other = await logged_in(accounts), await logged_in(accounts)
    await accounts.log_out(closed)
    await accounts.log_out(closed)
    assert await accounts.session(closed) is None
    assert await accounts.session(other) is not None


async def test_a_new_password_ends_the_sessions_of_its_account(accounts: Accounts) -> None:
    await accounts.add("bob", PASSWORD, Role.VIEWER)
    ada, bob = await logged_in(accounts), await logged_in(accounts, "bob")
    await accounts.set_password("ada", "another password")
    assert await accounts.session(ada) is None
    assert await accounts.session(bob) is not None
    with pytest.raises(UnauthenticatedError):
        await accounts.log_in("ada", PASSWORD, peer="p")


async def test_removing_an_account_ends_its_sessions(
    accounts: Accounts, database: Database
) -> None:
    token = await logged_in(accounts)
    await accounts.remove("ada")
    assert await accounts.session(token) is None
    assert await seen_at(database) == []


async def test_a_failure_does_not_reveal_which_names_exist(
    accounts: Accounts, passwords: QuickPasswords
) -> None:
    errors = set()
    for name in ("ada", "unknown"):
        with pytest.raises(UnauthenticatedError) as caught:
            await accounts.log_in(name, "wrong password", peer="p")
        errors.add((str(caught.value), *caught.value.details.items()))
    assert len(errors) == 1
    assert passwords.verified == [f"plain:{PASSWORD}", None]


async def test_attempts_are_refused_before_any_hashing(
    accounts: Accounts, passwords: QuickPasswords, clock: Clock
) -> None:
    for _ in range(FREE_FAILURES):
        with pytest.raises(UnauthenticatedError):
            await accounts.log_in("ada", "wrong password", peer="p")
    passwords.verified.clear()
    with pytest.raises(TooManyAttemptsError) as caught:
        await accounts.log_in("ada", PASSWORD, peer="p")
    assert caught.value.retry_after == 1
    assert passwords.verified == []
    await accounts.log_in("ada", PASSWORD, peer="another peer")
    clock.seconds += 1
    await accounts.log_in("ada", PASSWORD, peer="p")


@pytest.mark.parametrize("name", ["ada", "unknown"])
async def test_attempts_sent_at_the_same_time_are_throttled_too(
    accounts: Accounts, passwords: QuickPasswords, name: str
) -> None:
    attempts = (accounts.log_in(name, f"guess number {n}", peer="p") for n in range(50))
    ends = await asyncio.gather(*attempts, return_exceptions=True)
    assert len(passwords.verified) == FREE_FAILURES
    kinds = [type(end) for end in ends]
    assert kinds.count(UnauthenticatedError) == FREE_FAILURES
    assert kinds.count(TooManyAttemptsError) == 50 - FREE_FAILURES


async def test_many_right_log_ins_at_once_all_succeed(accounts: Accounts) -> None:
    tokens = await asyncio.gather(*(logged_in(accounts) for _ in range(20)))
    assert len(set(tokens)) == 20


async def test_locks_of_finished_log_ins_are_freed(accounts: Accounts) -> None:
    await asyncio.gather(*(logged_in(accounts) for _ in range(5)))
    assert len(accounts._log_in_locks) == 0


@pytest.fixture
async def hasher() -> AsyncIterator[Argon2Passwords]:
    async with aclosing(Argon2Passwords()) as hasher:
        yield hasher


async def test_passwords_are_argon2id_with_the_parameters_promised(hasher: Argon2Passwords) -> None:
    hashed = await hasher.hash(PASSWORD)
    parameters = argon2.extract_parameters(hashed)
    assert parameters.type is argon2.Type.ID
    costs = (parameters.memory_cost, parameters.time_cost, parameters.parallelism)
    assert costs == (19 * 1024, 2, 1)
    assert await hasher.verify(hashed, PASSWORD)
    assert not await hasher.verify(hashed, "wrong password")
    assert not await hasher.verify("no hash at all", PASSWORD)
    assert hashed != await hasher.hash(PASSWORD)


async def test_an_unknown_account_costs_one_hash_and_never_matches(
    monkeypatch: pytest.MonkeyPatch, hasher: Argon2Passwords
) -> None:
    hashed = []

    class Counting:
        def hash(self, password: str) -> str:
            hashed.append(password)
            return "x"

    monkeypatch.setattr(hasher, "_hasher", Counting())
    for _ in range(3):
        assert not await hasher.verify(None, PASSWORD)
    assert hashed == [PASSWORD] * 3
