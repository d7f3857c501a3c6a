"""A session is alive until it ends, expires or is revoked; nothing is done in a dead one."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from labkit.errors import Denied, Rejected
from labkit.ids import SessionID
from labkit.reference.contexts.sessions import Sessions
from labkit.reference.data.store import Store
from labkit.services.endpoints import Lease
from tests.reference.stage import asynchronous, new_user, opened, witness

WAITING = """
    select count(*) from pg_locks join pg_stat_activity using (pid)
    where not granted and datname = current_database()
"""


@asynccontextmanager
async def begun(lease: Lease) -> AsyncIterator[tuple[Store, Sessions, str, str]]:
    """A session that has just begun: the platform's store, its sessions, and user and session."""
    async with opened(lease) as data:
        sessions, user, session = Sessions(data), await new_user(data), SessionID.new()
        await sessions.begin(user, session)
        yield data, sessions, user, session


async def write(sessions: Sessions, user: str, session: str) -> None:
    """Do something within the session."""
    async with sessions.transaction(user, session) as transaction:
        await transaction.create_thread("within")


async def fail(sessions: Sessions, user: str, session: str) -> None:
    """Do something within the session, and then give it up."""
    async with sessions.transaction(user, session) as transaction:
        await transaction.create_thread("lost")
        raise Rejected("not after all")


async def expired(sessions: Sessions, user: str, session: str) -> bool:
    """Whether it stops being alive, waiting no longer than the deadline."""
    give_up_at = time.monotonic() + 15
    while await sessions.is_alive(user, session):
        if time.monotonic() >= give_up_at:
            return False
        await asyncio.sleep(0.005)
    return True


@asynchronous
async def test_a_living_session_allows_transactions_of_its_user(installed: Lease) -> None:
    """What is done within it is committed."""
    async with begun(installed) as (data, sessions, user, session):
        assert await sessions.is_alive(user, session)
        await write(sessions, user, session)
        assert [thread.title for thread in await data.threads(user)] == ["within"]


@asynchronous
async def test_an_error_within_a_session_leaves_nothing(installed: Lease) -> None:
    """Its transactions are those of the store: all or nothing."""
    async with begun(installed) as (data, sessions, user, session):
        with pytest.raises(Rejected, match="not after all"):
            await fail(sessions, user, session)
        assert await data.threads(user) == []


async def dead(data: Store, sessions: Sessions, how: str) -> tuple[str, str]:
    """A user, and a session that is no longer, or never was, alive for that user."""
    user, session = await new_user(data), SessionID.new()
    if how == "never begun":
        return user, session
    await sessions.begin(user, session, lifetime_ms=1 if how == "expired" else 600_000)
    match how:
        case "ended":
            await sessions.end(user, session)
        case "revoked":
            await sessions.revoke(user, session)
        case "expired":
            assert await expired(sessions, user, session)
        case "another's":
            return await new_user(data), session
    return user, session


@pytest.mark.parametrize("how", ["ended", "revoked", "expired", "never begun", "another's"])
@asynchronous
async def test_a_session_that_is_not_alive_allows_nothing(installed: Lease, how: str) -> None:
    """However it came to that, in the same words."""
    async with opened(installed) as data:
        sessions = Sessions(data)
        user, session = await dead(data, sessions, how)
        assert not await sessions.is_alive(user, session)
        with pytest.raises(Denied) as refused:
            await write(sessions, user, session)
        assert str(refused.value) == f"user {user!r} has no session {session!r} that is still alive"
        assert await data.threads(user) == []


@asynchronous
async def test_a_session_ends_after_what_is_under_way_in_it(installed: Lease) -> None:
    """Who has ended it knows that nothing comes after."""
    async with begun(installed) as (data, sessions, user, session):
        async with sessions.transaction(user, session) as transaction:
            ending = asyncio.create_task(sessions.revoke(user, session))
            async with witness(installed) as owner:
                give_up_at = time.monotonic() + 15
                while not await owner.fetchval(WAITING):
                    assert time.monotonic() < give_up_at
                    await asyncio.sleep(0.005)
            await transaction.create_thread("in time")
            assert not ending.done()
        await ending
        with pytest.raises(Denied):
            await write(sessions, user, session)
        assert [thread.title for thread in await data.threads(user)] == ["in time"]


@asynchronous
async def test_times_stand_by_the_clock_of_the_database(installed: Lease) -> None:
    """The row says when it began, expires, was revoked and ended, and keeps the first time."""
    async with begun(installed) as (_, sessions, user, _session), witness(installed) as owner:
        session = SessionID.new()
        await sessions.begin(user, session, lifetime_ms=90_000)
        await sessions.revoke(user, session)
        await sessions.end(user, session)
        times = "select * from sessions where id = $1"
        first = await owner.fetchrow(times, session)
        assert first is not None
        lifetime_s = (first["expires_at"] - first["started_at"]).total_seconds()
        assert lifetime_s == pytest.approx(90, abs=5)
        assert first["started_at"] <= first["revoked_at"] <= first["ended_at"]
        await sessions.revoke(user, session)
        await sessions.end(user, session)
        assert await owner.fetchrow(times, session) == first


@asynchronous
async def test_a_session_that_cannot_be_is_refused(installed: Lease) -> None:
    """For a user who is not registered, and for a lifetime that makes no sense."""
    async with begun(installed) as (_, sessions, user, _session):
        with pytest.raises(Denied, match="'nobody' is not registered"):
            await sessions.begin("nobody", SessionID.new())
        for lifetime_ms in (0, -1, 10**12):
            with pytest.raises(Rejected, match=f"cannot live for {lifetime_ms} ms"):
                await sessions.begin(user, SessionID.new(), lifetime_ms=lifetime_ms)


@asynchronous
async def test_another_users_session_cannot_be_revoked(installed: Lease) -> None:
    """It is refused in the same words as one that does not exist, and lives on."""
    async with begun(installed) as (data, sessions, user, session):
        other = await new_user(data)
        for asked in (session, "none"):
            with pytest.raises(Denied) as refused:
                await sessions.revoke(other, asked)
            assert str(refused.value) == f"user {other!r} has no session {asked!r}"
        await sessions.end(other, session)
        assert await sessions.is_alive(user, session)
