"""Database sessions of one request: refused to any other, and gone without a trace."""

import asyncio

import asyncpg
import pytest

from labkit.errors import SessionIsolationError
from labkit.services.endpoints import Lease
from tests.reference.stage import asynchronous, new_user, opened, witness

INSERT = """
    insert into threads (id, user_id, title)
    values ('left-over', current_setting('labkit.acting_user'), '')
"""

ACTING = "select current_setting('labkit.acting_user', true)"


@asynchronous
async def test_its_own_request_works_as_its_user(installed: Lease) -> None:
    """It sees the user's rows and no others, and each statement commits by itself."""
    async with opened(installed) as data, witness(installed) as owner:
        user, stranger = await new_user(data), await new_user(data)
        await data.create_thread(stranger, "private")
        async with data.session(user, "request") as session:
            insert = "insert into threads (id, user_id, title) values ($1 || '-t', $1, 'own')"
            await session.fetch("request", insert, user)
            seen = await owner.fetchval("select title from threads where user_id = $1", user)
            own = await session.fetch("request", "select user_id, title from threads")
    assert seen == "own"
    assert own == [(user, "own")]


@asynchronous
async def test_another_request_is_refused(installed: Lease) -> None:
    """While the session's own one goes on."""
    async with opened(installed) as data:
        user = await new_user(data)
        async with data.session(user, "mine") as session:
            with pytest.raises(SessionIsolationError, match="'yours'"):
                await session.fetch("yours", "select 1")
            assert await session.fetch("mine", "select 1") == [(1,)]


@asynchronous
async def test_after_its_end_it_is_refused(installed: Lease) -> None:
    """Also when its block raised; the connection is somebody else's by then."""
    async with opened(installed) as data:
        user = await new_user(data)
        async with data.session(user, "request") as first:
            pass
        with pytest.raises(asyncpg.UndefinedTableError):
            async with data.session(user, "request") as second:
                await second.fetch("request", "select from nowhere")
        for session in (first, second):
            with pytest.raises(SessionIsolationError, match="has ended"):
                await session.fetch("request", "select 1")


@asynchronous
async def test_who_waits_for_it_when_it_ends_is_refused(installed: Lease) -> None:
    """A statement that stood in line behind another finds the session ended."""
    async with opened(installed) as data:
        user = await new_user(data)
        async with data.session(user, "request") as session:
            running = asyncio.create_task(session.fetch("request", "select pg_sleep(0.2)"))
            await asyncio.sleep(0)
            waiting = asyncio.create_task(session.fetch("request", "select 1"))
            await asyncio.sleep(0)
        results = await asyncio.gather(running, waiting, return_exceptions=True)
    assert [type(result).__name__ for result in results] == ["list", "SessionIsolationError"]


@asynchronous
async def test_its_connection_brings_nothing_to_the_next_user(installed: Lease) -> None:
    """No setting, temporary table, open transaction, advisory lock or listener, and no user."""
    async with opened(installed) as data, witness(installed) as owner:
        user = await new_user(data)
        async with data.session(user, "request") as session:
            [(pid,)] = await session.fetch("request", "select pg_backend_pid()")
            for statement in (
                "set work_mem to '5MB'",
                "create temp table left_over (id int)",
                "select pg_advisory_lock(77)",
                "listen left_over",
                "begin",
                INSERT,
            ):
                await session.fetch("request", statement)
        other = await new_user(data)
        async with data.session(other, "next") as after:
            [(next_pid,)] = await after.fetch("next", "select pg_backend_pid()")
            [(acting,)] = await after.fetch("next", ACTING)
            [(memory,)] = await after.fetch("next", "show work_mem")
            [(table,)] = await after.fetch("next", "select to_regclass('left_over')::text")
            listening = await after.fetch("next", "select pg_listening_channels()")
        locks = await owner.fetchval(
            "select count(*) from pg_locks where locktype = 'advisory' and objid = 77"
        )
        kept = await owner.fetchval("select count(*) from threads where id = 'left-over'")
    assert (pid, acting) == (next_pid, other)
    assert (memory, table, listening, locks, kept) == ("4MB", None, [], 0, 0)
