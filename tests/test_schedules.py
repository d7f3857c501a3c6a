"""Schedules on a real server, through a platform of twenty lines."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeAlias

import asyncpg
import pytest

from labkit.errors import Denied, TargetError
from labkit.judges.anomalies import G0, G1A, P4
from labkit.judges.isolation import judge_isolation
from labkit.judges.schedule import (
    Action,
    Anomaly,
    Ended,
    Finding,
    Isolation,
    Scenario,
    Step,
    StepObservation,
)
from labkit.schedules import TABLE, isolation_table, make_table, play
from labkit.services.endpoints import Lease
from labkit.witness import Witness

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
USER = "whoever"


class SmallTransaction:
    """The two methods that a schedule needs."""

    def __init__(self, connection: asyncpg.pool.PoolConnectionProxy[asyncpg.Record]) -> None:
        self._connection = connection

    async def fetch(self, sql: str, *arguments: object) -> Sequence[tuple[Any, ...]]:
        """The rows of a statement."""
        return [tuple(row) for row in await self._connection.fetch(sql, *arguments)]

    async def execute(self, sql: str, *arguments: object) -> int:
        """How many rows a statement touched."""
        return int((await self._connection.execute(sql, *arguments)).rpartition(" ")[2])


class SmallPlatform:
    """Transactions on a pool, at the level that is asked for or at one of the platform's own."""

    def __init__(self, pool: Pool, always: Isolation | None = None) -> None:
        self._pool = pool
        self._always = always

    @contextlib.asynccontextmanager
    async def transaction(self, user: str, isolation: Isolation) -> AsyncIterator[SmallTransaction]:
        """A transaction on a connection of the pool."""
        assert user == USER
        async with self._pool.acquire() as connection:
            await connection.execute(f"begin isolation level {self._always or isolation}")
            try:
                yield SmallTransaction(connection)
            except BaseException:
                await connection.execute("rollback")
                raise
            await connection.execute("commit")


@contextlib.asynccontextmanager
async def stage(lease: Lease, *, connections: int = 3) -> AsyncIterator[tuple[Pool, Witness]]:
    """A platform's pool and a witness on the lease, with the schedules' table made."""
    url = lease.platform_url.reveal()
    async with Witness(lease) as witness:
        await make_table(witness)
        async with asyncpg.create_pool(url, min_size=0, max_size=connections) as pool:
            yield pool, witness


async def open_transactions(witness: Witness) -> list[int]:
    """The platform's backends that are in a transaction at this moment."""
    backends = await witness.backends(witness.lease.platform_role)
    return [backend.pid for backend in backends if backend.transaction_began_at is not None]


def test_all_thirty_cells_equal_the_published_table(lease: Lease) -> None:
    """On a real PostgreSQL, each anomaly is prevented or possible just as published."""

    async def measure() -> None:
        async with stage(lease) as (pool, witness):
            table = await isolation_table(SmallPlatform(pool), witness, user=USER)

            assert judge_isolation(table).detail == "30 of 30 cells equal the published table."
            assert judge_isolation(table).valid is True
            assert await open_transactions(witness) == []

    asyncio.run(measure())


@pytest.mark.parametrize(
    ("always", "cells"),
    [
        (Isolation.READ_COMMITTED, 8),
        (Isolation.REPEATABLE_READ, 5),
        (Isolation.SERIALIZABLE, 7),
    ],
)
def test_a_platform_that_knows_one_level_only_is_found_out(
    lease: Lease, always: Isolation, cells: int
) -> None:
    """When every transaction silently runs at one level, the cells of the others differ."""

    async def measure() -> None:
        async with stage(lease) as (pool, witness):
            table = await isolation_table(SmallPlatform(pool, always), witness, user=USER)
            verdict = judge_isolation(table)

            assert verdict.valid is False
            assert (verdict.reason, verdict.count) == ("isolation-level-differs", cells)

    asyncio.run(measure())


def seen_in(lease: Lease, scenario: Scenario, isolation: Isolation) -> tuple[StepObservation, ...]:
    """What is observed of a scenario that comes to its end."""

    async def observe() -> tuple[StepObservation, ...]:
        async with stage(lease) as (pool, witness):
            history = await play(scenario, isolation, SmallPlatform(pool), witness, user=USER)
            assert history.unfinished == ""
            return history.observations

    return asyncio.run(observe())


def test_a_blocked_step_is_seen_and_its_release_too(lease: Lease) -> None:
    """A write to a row that another session has written waits for that session's commit."""
    observations = seen_in(lease, G0, Isolation.READ_COMMITTED)
    blocked = [seen for seen in observations if seen.blocked_by]

    assert [(seen.number, seen.blocked_by, seen.released_by) for seen in blocked] == [(4, (1,), 6)]
    assert (blocked[0].ended, blocked[0].count) == (Ended.DONE, 1)
    assert observations[5].action is Action.COMMIT


def test_a_session_that_fails_is_rolled_back_and_skips_the_rest(lease: Lease) -> None:
    """A conflict ends its session: the error is kept, what it had still to do is not done."""
    observations = seen_in(lease, G0, Isolation.REPEATABLE_READ)
    second = [seen for seen in observations if seen.session == 2]

    assert [seen.ended for seen in second] == [
        Ended.DONE,
        Ended.FAILED,
        Ended.SKIPPED,
        Ended.SKIPPED,
    ]
    assert second[1].error is not None
    assert second[1].error.sqlstate == "40001"
    assert "concurrent update" in second[1].error.message


def test_a_deadlock_is_left_to_the_server(lease: Lease) -> None:
    """Two sessions that wait for each other: the server gives one up, and both come to an end."""
    steps = (
        Step(1, Action.BEGIN),
        Step(2, Action.BEGIN),
        Step(1, Action.WRITE, "update {table} set value = 11 where id = 1"),
        Step(2, Action.WRITE, "update {table} set value = 22 where id = 2"),
        Step(1, Action.WRITE, "update {table} set value = 21 where id = 2"),
        Step(2, Action.WRITE, "update {table} set value = 12 where id = 1"),
        Step(1, Action.COMMIT),
        Step(2, Action.COMMIT),
    )
    deadlock = Scenario(Anomaly.G0, "deadlock", steps, shown=lambda _: False)
    observations = seen_in(lease, deadlock, Isolation.READ_COMMITTED)

    assert (observations[4].blocked_by, observations[5].blocked_by) == ((2,), (1,))
    (error,) = [seen.error for seen in observations if seen.error is not None]
    assert error.sqlstate == "40P01"
    assert {seen.ended for seen in observations[6:]} == {Ended.DONE, Ended.SKIPPED}


def test_an_abort_takes_the_writes_back(lease: Lease) -> None:
    """A session that aborts ends well, and leaves the beginning as it was."""

    async def observe() -> None:
        async with stage(lease) as (pool, witness):
            platform = SmallPlatform(pool)
            history = await play(G1A, Isolation.READ_COMMITTED, platform, witness, user=USER)

            assert {seen.ended for seen in history.observations} == {Ended.DONE}
            assert history.final == ((1, 10), (2, 20))

    asyncio.run(observe())


def test_an_error_of_another_kind_proves_nothing(lease: Lease) -> None:
    """A statement that cannot be run at all makes the cell unknown, not prevented."""
    steps = (
        Step(1, Action.BEGIN),
        Step(1, Action.READ, "select * from {table}_that_is_not_there"),
        Step(1, Action.COMMIT),
    )
    broken = Scenario(Anomaly.P4, "broken", steps, shown=lambda _: True)

    async def observe() -> None:
        async with stage(lease) as (pool, witness):
            platform = SmallPlatform(pool)
            history = await play(broken, Isolation.SERIALIZABLE, platform, witness, user=USER)

            assert history.observations[1].error is not None
            assert history.observations[1].error.sqlstate == "42P01"
            assert history.finding is None

    asyncio.run(observe())


def test_a_schedule_that_does_not_end_is_unknown_and_leaves_nothing(lease: Lease) -> None:
    """Where the pool has no connection for the second session, the deadline ends both."""

    async def observe() -> None:
        async with stage(lease, connections=1) as (pool, witness):
            before = asyncio.all_tasks()
            history = await play(
                P4, Isolation.SERIALIZABLE, SmallPlatform(pool), witness, user=USER, deadline_s=5
            )

            assert history.unfinished == "the schedule did not end within 5 s"
            assert history.finding is None
            assert [seen.ended for seen in history.observations] == [Ended.DONE, Ended.UNFINISHED]
            assert await open_transactions(witness) == []
            assert asyncio.all_tasks() == before

    asyncio.run(observe())


def test_a_refusal_of_the_platform_comes_through(lease: Lease) -> None:
    """An error that is not the database's own is nobody's observation: it is raised."""

    class Refusing(SmallPlatform):
        @contextlib.asynccontextmanager
        async def transaction(
            self, user: str, isolation: Isolation
        ) -> AsyncIterator[SmallTransaction]:
            async with super().transaction(user, isolation) as transaction:
                yield transaction
                raise Denied("no commit today")

    async def observe() -> None:
        async with stage(lease) as (pool, witness):
            with pytest.raises(Denied, match="no commit today"):
                await play(P4, Isolation.SERIALIZABLE, Refusing(pool), witness, user=USER)

            assert await open_transactions(witness) == []

    asyncio.run(observe())


def test_a_platform_that_keeps_a_cancelled_transaction_is_told(lease: Lease) -> None:
    """Sessions that do not end when they are cancelled are the target's fault."""
    released = asyncio.Event()

    class Clinging(SmallPlatform):
        @contextlib.asynccontextmanager
        async def transaction(
            self, user: str, isolation: Isolation
        ) -> AsyncIterator[SmallTransaction]:
            async with super().transaction(user, isolation) as transaction:
                try:
                    yield transaction
                finally:
                    await released.wait()

    async def observe() -> None:
        async with stage(lease) as (pool, witness):
            try:
                with pytest.raises(TargetError, match="still holds 1 of the transactions"):
                    await play(
                        P4,
                        Isolation.SERIALIZABLE,
                        Clinging(pool),
                        witness,
                        user=USER,
                        deadline_s=5,
                    )
            finally:
                released.set()

    asyncio.run(observe())


def test_the_table_keeps_the_rows_of_the_last_schedule(lease: Lease) -> None:
    """What a schedule left can be looked at; the next one begins anew."""

    async def observe() -> None:
        async with stage(lease) as (pool, witness):
            platform = SmallPlatform(pool)
            for _ in range(2):
                history = await play(P4, Isolation.READ_COMMITTED, platform, witness, user=USER)

                assert history.finding is Finding.POSSIBLE
                assert await witness.count(TABLE, "value = $1", 12) == 1

    asyncio.run(observe())
