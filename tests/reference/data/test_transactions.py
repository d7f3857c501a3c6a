"""A transaction is there whole or not at all, and what it bound or held ends with it."""

from __future__ import annotations

import asyncio
import contextlib

import asyncpg
import pytest

from labkit.errors import Rejected
from labkit.reference.data.contexts import UserContext
from labkit.reference.data.pool import Pool
from labkit.reference.data.store import Store
from labkit.reference.data.transactions import UserTransaction
from labkit.services.endpoints import Lease
from labkit.targets.data import Isolation, Transaction
from tests.reference.stage import asynchronous, count, doomed, new_user, opened, witness


@asynchronous
async def test_duplicate_user_is_rejected_and_takes_the_transaction_with_it(
    installed: Lease,
) -> None:
    """Thread and message of a transaction in which the user id is taken are not there after it."""
    async with opened(installed) as data, witness(installed) as owner:
        user = await new_user(data)
        with pytest.raises(Rejected, match="already exists") as caught:
            await doomed(data, user)
        assert isinstance(caught.value.__cause__, asyncpg.UniqueViolationError)
        assert await count(owner, user) == {"threads": 0, "messages": 0, "executions": 0}


@asynchronous
async def test_savepoint_is_rolled_back_alone(installed: Lease) -> None:
    """What stands around a failed savepoint, or around one nested in another, is committed."""
    async with opened(installed) as data:
        user = await new_user(data)
        async with data.transaction(user) as transaction:
            await transaction.create_thread("before")
            await lost_savepoint(transaction, user)
            async with transaction.savepoint():
                await transaction.create_thread("outer")
                await lost_savepoint(transaction, user)
            with contextlib.suppress(Rejected):
                async with transaction.savepoint():
                    await transaction.create_thread("lost")
                    await lost_savepoint(transaction, user)
                    await transaction.create_user(user)
            await transaction.create_thread("after")
        titles = [view.title for view in await data.threads(user)]
        assert titles == ["before", "outer", "after"]


async def lost_savepoint(transaction: Transaction, user: str) -> None:
    """A savepoint that writes, fails and is rolled back."""
    with contextlib.suppress(Rejected):
        async with transaction.savepoint():
            await transaction.create_thread("lost")
            await transaction.create_user(user)


@asynchronous
async def test_user_is_bound_for_the_transaction_alone(installed: Lease) -> None:
    """On the same connection nobody is bound any more after the commit."""
    bound = "select current_setting('labkit.acting_user', true)"
    pool = Pool(installed.platform_url)
    await pool.open()
    async with pool.connection() as connection:
        transaction = UserTransaction(connection, UserContext("somebody"))
        await transaction.begin(Isolation.READ_COMMITTED)
        during = await connection.fetchval(bound)
        await transaction.commit()
        after = await connection.fetchval(bound)
    await pool.close()

    assert (during, after) == ("somebody", "")


@asynchronous
async def test_swallowed_error_cannot_be_committed(installed: Lease) -> None:
    """The server answers such a commit with a rollback and no error; the store does not."""
    async with opened(installed) as data:
        user = await new_user(data)
        with pytest.raises(Rejected, match="rolled back, not committed"):
            await swallow(data, user)
        assert await data.threads(user) == []


async def swallow(data: Store, user: str) -> None:
    """A transaction that leaves as if no statement had failed."""
    async with data.transaction(user) as transaction:
        await transaction.create_thread("lost")
        with contextlib.suppress(Rejected):
            await transaction.create_user(user)


@asynchronous
async def test_cancelled_transaction_leaves_nothing(installed: Lease) -> None:
    """A transaction that is cancelled in a statement is rolled back, its connection given back."""
    async with opened(installed) as data, witness(installed) as owner:
        user = await new_user(data)
        at_work = asyncio.Event()

        async def work() -> None:
            async with data.transaction(user) as transaction:
                await transaction.create_thread("lost")
                at_work.set()
                await transaction.fetch("select pg_sleep(60)")

        task = asyncio.create_task(work())
        await at_work.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await data.threads(user) == []
        open_ones = "select count(*) from pg_locks l join pg_stat_activity a using (pid)"
        open_ones += " where a.usename = $1"
        assert await owner.fetchval(open_ones, installed.platform_role) == 0


@asynchronous
async def test_killed_backend_leaves_nothing_of_its_transaction(installed: Lease) -> None:
    """The block's own error comes through, and the next transaction has a connection."""
    async with opened(installed) as data:
        user = await new_user(data)
        with pytest.raises(KeyError):
            await die_midway(data, user)
        assert await data.threads(user) == []


async def die_midway(data: Store, user: str) -> None:
    """A transaction that loses its backend between two statements, and then raises."""
    async with data.transaction(user) as transaction, data.transaction(user) as killer:
        await transaction.create_thread("lost")
        ((backend,),) = await transaction.fetch("select pg_backend_pid()")
        async with transaction.savepoint():
            await killer.execute("select pg_terminate_backend($1, 5000)", backend)
            # Which one depends on how far the driver has heard of the end.
            told = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
            with contextlib.suppress(*told):
                await transaction.create_thread("lost too")
            raise KeyError


@pytest.mark.parametrize("isolation", Isolation)
@asynchronous
async def test_transaction_runs_at_the_level_that_was_asked_for(
    installed: Lease, isolation: Isolation
) -> None:
    """The server itself names the level."""
    async with opened(installed) as data, data.transaction("anyone", isolation) as transaction:
        assert await transaction.fetch("show transaction_isolation") == [(isolation,)]
