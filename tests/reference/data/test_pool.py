"""The pool: bounded, clean between borrowers, and whole after cancels and killed backends."""

import asyncio
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from random import Random

import asyncpg
import pytest

from labkit.errors import ServiceUnavailable
from labkit.faults.detours import postgres_detour
from labkit.redaction import Secret
from labkit.reference.data.pool import Connection, Pool, PoolLimits
from labkit.services.endpoints import Lease
from tests.reference.stage import asynchronous, witness

BACKENDS = "select pid from pg_stat_activity where usename = $1"
ONE = PoolLimits(connections=1)


@asynccontextmanager
async def opened(lease: Lease, limits: PoolLimits = ONE) -> AsyncIterator[Pool]:
    """A pool that is open for the block."""
    pool = Pool(lease.platform_url, limits)
    await pool.open()
    try:
        yield pool
    finally:
        await pool.close()


@asynchronous
async def test_ten_sessions_over_four_connections_are_all_served(installed: Lease) -> None:
    """The server never has more than four backends of the platform, and four work at once."""
    served: set[int] = set()
    four_at_work = asyncio.Barrier(5)
    rest = asyncio.Event()

    async def session(pool: Pool) -> None:
        async with pool.connection() as connection:
            served.add(await connection.fetchval("select pg_backend_pid()"))
            if not rest.is_set():
                await four_at_work.wait()
                await rest.wait()

    async with (
        opened(installed, PoolLimits()) as pool,
        witness(installed) as owner,
        asyncio.TaskGroup() as sessions,
    ):
        for _ in range(10):
            sessions.create_task(session(pool))
        await four_at_work.wait()
        backends = {pid for (pid,) in await owner.fetch(BACKENDS, installed.platform_role)}
        rest.set()

    assert len(backends) == 4
    assert served == backends


@asynchronous
async def test_next_borrower_inherits_nothing(installed: Lease) -> None:
    """Role, table, sequence, lock, setting, statement and transaction end with their borrower."""
    async with opened(installed) as pool:
        async with pool.connection() as connection:
            clean = await traces(connection)
            await connection.execute(
                f"set role {installed.platform_role}; set labkit.acting_user = 'poison';"
                "set statement_timeout = 12345; create temp table poison ();"
                "create temp sequence numbers; prepare poison as select 1;"
                "select pg_advisory_lock(1);"
            )
            poisoned = await traces(connection)
        async with pool.connection() as connection:
            after = await traces(connection)

    assert poisoned.pop("backend") == clean["backend"]
    assert all(clean[name] != found for name, found in poisoned.items())
    assert after == clean


async def traces(connection: Connection) -> dict[str, object]:
    """Where a borrower can leave something, as the next one would find it."""
    row = await connection.fetchrow("""
        select pg_backend_pid() as backend,
               current_setting('role') as role,
               nullif(current_setting('labkit.acting_user', true), '') as acting_user,
               current_setting('statement_timeout') as timeout,
               to_regclass('pg_temp.poison') as temporary_table,
               to_regclass('pg_temp.numbers') as temporary_sequence,
               (select count(*) from pg_prepared_statements where from_sql) as prepared,
               (select count(*) from pg_locks
                 where locktype = 'advisory' and pid = pg_backend_pid()) as locks
    """)
    assert row is not None
    return dict(row)


@asynchronous
async def test_cancelled_borrower_leaks_no_connection(installed: Lease) -> None:
    """Cancelled at whatever step of waiting, taking or using it, a borrower takes none along."""
    async with opened(installed, PoolLimits(connections=1, acquire_s=2)) as pool:
        for waited in (0, 2, 8):
            for later in range(100):
                lent = pool.connection()
                await lent.__aenter__()
                borrower = asyncio.create_task(borrow(pool))
                await steps(waited)
                giving_back = asyncio.create_task(leave(lent))
                await steps(later)
                done = borrower.done()
                borrower.cancel()
                await asyncio.gather(borrower, giving_back, return_exceptions=True)
                assert await borrow(pool) == 1
                if done:
                    break


async def borrow(pool: Pool) -> object:
    """One statement on a connection of the pool."""
    async with pool.connection() as connection:
        return await connection.fetchval("select 1")


async def leave(lent: AbstractAsyncContextManager[Connection]) -> None:
    """Give a connection back."""
    await lent.__aexit__(None, None, None)


async def steps(count: int) -> None:
    """Let the other tasks take as many steps."""
    for _ in range(count):
        await asyncio.sleep(0)


@asynchronous
async def test_killed_backend_is_replaced(installed: Lease) -> None:
    """A backend that dies while lent out costs its borrower an error, an idle one nobody."""
    async with opened(installed) as pool, opened(installed) as killer:
        async with pool.connection() as connection:
            first = await kill(killer, connection)
            with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
                await connection.fetchval("select 1")
        async with pool.connection() as connection:
            second = await kill(killer, connection)
        async with pool.connection() as connection:
            third = await connection.fetchval("select pg_backend_pid()")

    assert len({first, second, third}) == 3


@asynchronous
async def test_backend_that_dies_unnoticed_is_replaced_all_the_same(
    installed: Lease, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither who gives such a connection back nor who borrows it next gets an error."""
    async with opened(installed) as pool:
        async with pool.connection() as connection:
            kill_unnoticed(installed, await connection.fetchval("select pg_backend_pid()"))
        assert "could not be cleaned" in caplog.text
        async with pool.connection() as connection:
            backend = await connection.fetchval("select pg_backend_pid()")
        kill_unnoticed(installed, backend)
        assert await borrow(pool) == 1


@asynchronous
async def test_a_connection_that_has_fallen_silent_is_replaced(installed: Lease) -> None:
    """The next borrower waits for its answer once, for no longer than a probe may take."""
    limits = PoolLimits(connections=2, probe_s=0.2, command_s=60)
    async with (
        postgres_detour(installed.platform_url, random=Random(1)) as detour,
        opened(replace(installed, platform_url=detour.url), limits) as pool,
    ):
        detour.proxy.freeze()
        assert await borrow(pool) == 1
        assert detour.proxy.opened > 1


def kill_unnoticed(lease: Lease, backend: int) -> None:
    """End a backend while the running event loop stands still, so that it learns nothing of it."""
    with ThreadPoolExecutor() as threads:
        threads.submit(asyncio.run, kill_alone(lease, backend)).result()


async def kill_alone(lease: Lease, backend: int) -> None:
    """End a backend from an event loop of its own."""
    platform = await asyncpg.connect(lease.platform_url.reveal())
    await platform.execute("select pg_terminate_backend($1, 5000)", backend)
    await platform.close()


async def kill(killer: Pool, connection: Connection) -> object:
    """End the backend behind a connection; return its process id once it is gone."""
    backend = await connection.fetchval("select pg_backend_pid()")
    async with killer.connection() as other:
        assert await other.fetchval("select pg_terminate_backend($1, 5000)", backend)
    return backend


@asynchronous
async def test_waiting_for_a_connection_is_bounded(installed: Lease) -> None:
    """When every connection is held, the next borrower learns it in time, by size and time."""
    async with (
        opened(installed, PoolLimits(connections=1, acquire_s=0.1)) as pool,
        pool.connection(),
    ):
        with pytest.raises(ServiceUnavailable, match=r"none of the pool's 1 .* within 0\.1 s"):
            await borrow(pool)


@asynchronous
async def test_closing_cuts_what_is_still_lent_out(
    installed: Lease, caplog: pytest.LogCaptureFixture
) -> None:
    """A borrower that never gives back cannot keep the pool from closing, and is told of."""
    limits = PoolLimits(close_s=0.1)
    with caplog.at_level(logging.WARNING):
        async with opened(installed, limits) as pool, pool.connection():
            await pool.close()
    assert "still lent out" in caplog.text


@asynchronous
async def test_pool_that_cannot_log_in_says_so_and_leaves_nothing(installed: Lease) -> None:
    """A refused login and an absent server are both told on opening, without the password."""
    url = installed.platform_url.reveal()
    for wrong in (
        url.replace(installed.database, "absent_labkit"),
        "postgresql://x:y@localhost:1/z",
    ):
        pool = Pool(Secret(wrong))
        with pytest.raises(ServiceUnavailable, match="PostgreSQL refuses the platform") as caught:
            await pool.open()
        assert wrong not in str(caught.value)
        with pytest.raises(ServiceUnavailable, match="not open"):
            await borrow(pool)


@asynchronous
async def test_json_travels_as_values(installed: Lease) -> None:
    """A nested JSON value goes in as it is and comes back equal."""
    value = {"numbers": [1, 2.5, None], "nested": {"yes": True, "text": "ü"}}
    async with opened(installed) as pool, pool.connection() as connection:
        assert await connection.fetchval("select $1::jsonb", value) == value
        assert await connection.fetchval("select jsonb_typeof($1)", value) == "object"
