"""The states of executions: exactly the legal ways, each won by one."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from types import MappingProxyType

import asyncpg
import pytest

from labkit.errors import Denied, Rejected
from labkit.judges.transitions import LEGAL
from labkit.reference.execution.executions import Executions, RunLost
from labkit.services.endpoints import Lease
from labkit.targets.pipeline import ExecutionState
from tests.reference.stage import asynchronous, new_user, opened, witness
from tests.reference.works import Place, rows, works

WAYS = MappingProxyType(
    {
        ExecutionState.CREATED: (),
        ExecutionState.ACTIVE: (ExecutionState.ACTIVE,),
        ExecutionState.SUSPENDED: (ExecutionState.ACTIVE, ExecutionState.SUSPENDED),
        ExecutionState.COMPLETED: (ExecutionState.ACTIVE, ExecutionState.COMPLETED),
        ExecutionState.FAILED: (ExecutionState.ACTIVE, ExecutionState.FAILED),
        ExecutionState.CANCELLED: (ExecutionState.CANCELLED,),
    }
)

ROW = "select to_jsonb(executions)::text from executions where id = $1"

HISTORY = "select state from execution_states where execution_id = $1 order by position"


async def brought_to(executions: Executions, place: Place, state: ExecutionState) -> str:
    """A new execution that was brought to a state by legal ways."""
    execution = await executions.create(place.user, place.thread)
    for step in WAYS[state]:
        await executions.move(place.user, execution, step)
    return execution


@asynchronous
async def test_exactly_the_nine_legal_transitions_are_accepted(installed: Lease) -> None:
    """Of all 36 pairs; an illegal one leaves the row and the history as they were."""
    accepted = set()
    async with works(installed) as at_work, witness(installed) as owner:
        place, executions = await at_work.place(), at_work.workshop.executions
        for before, after in itertools.product(ExecutionState, repeat=2):
            execution = await brought_to(executions, place, before)
            row = await owner.fetchval(ROW, execution)
            states = [state for (state,) in await owner.fetch(HISTORY, execution)]
            try:
                await executions.move(place.user, execution, after)
            except Rejected as refused:
                assert f"cannot go from {before} to {after}" in str(refused)  # noqa: PT017
                assert await owner.fetchval(ROW, execution) == row
            else:
                accepted.add((before, after))
                states.append(after.value)
            assert [state for (state,) in await owner.fetch(HISTORY, execution)] == states
    assert accepted == {(before, after) for before, some in LEGAL.items() for after in some}


@asynchronous
async def test_no_execution_begins_in_the_middle(installed: Lease) -> None:
    """Not even the tables' owner can insert one that is already active."""
    async with works(installed) as at_work, witness(installed) as owner:
        place = await at_work.place()
        with pytest.raises(asyncpg.CheckViolationError, match="cannot begin as active"):
            await owner.execute(
                "insert into executions (id, user_id, thread_id, status)"
                " values ('early', $1, $2, 'active')",
                place.user,
                place.thread,
            )


@asynchronous
async def test_of_ten_rivals_for_one_transition_one_wins(installed: Lease) -> None:
    """They all wait for the row at once; the rest are rejected, and the history has one entry."""
    async with (
        works(installed) as at_work,
        witness(installed) as owner,
        witness(installed) as onlooker,
    ):
        place, executions = await at_work.place(), at_work.workshop.executions
        execution = await brought_to(executions, place, ExecutionState.ACTIVE)
        async with owner.transaction():
            await owner.execute("select from executions where id = $1 for update", execution)
            rivals = [
                asyncio.create_task(
                    executions.move(place.user, execution, ExecutionState.SUSPENDED)
                )
                for _ in range(10)
            ]
            await blocked(onlooker, at_work.data.pool_size)
        results = await asyncio.gather(*rivals, return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["NoneType", *["Rejected"] * 9]
    states = [state for (state,) in await rows(installed, HISTORY, execution)]
    assert states == ["created", "active", "suspended"]


async def blocked(onlooker: asyncpg.Connection[asyncpg.Record], count: int) -> None:
    """Wait until this many wait for a lock; bounded by the test's own deadline."""
    waiting = "select count(*) from pg_stat_activity where datname = current_database()"
    waiting += " and cardinality(pg_blocking_pids(pid)) > 0"
    while True:
        if await onlooker.fetchval(waiting) >= count:
            return
        await asyncio.sleep(0.01)


@asynchronous
async def test_who_locks_an_execution_waits_for_its_turn(installed: Lease) -> None:
    """The second sees what the first made of it, and not what it was before."""
    async with works(installed) as at_work, witness(installed) as onlooker:
        place, executions = await at_work.place(), at_work.workshop.executions
        execution = await brought_to(executions, place, ExecutionState.ACTIVE)

        async def look() -> ExecutionState:
            async with at_work.data.transaction(place.user) as transaction:
                return (await executions.lock(transaction, execution)).state

        async with at_work.data.transaction(place.user) as transaction:
            await executions.lock(transaction, execution)
            second = asyncio.create_task(look())
            await blocked(onlooker, 1)
            await executions.suspend(transaction, execution)
        assert await second is ExecutionState.SUSPENDED


@asynchronous
async def test_anothers_execution_is_denied_as_one_that_is_not_there(installed: Lease) -> None:
    """Neither its state nor that it exists is told, and it stays as it is."""
    async with works(installed) as at_work:
        place, executions = await at_work.place(), at_work.workshop.executions
        stranger = await new_user(at_work.data)
        execution = await executions.create(place.user, place.thread)
        refusals: list[str] = []
        for one in (execution, execution[::-1]):
            with pytest.raises(Denied) as refused:
                await executions.move(stranger, one, ExecutionState.ACTIVE)
            refusals.append(str(refused.value))
        with pytest.raises(Denied, match="has no thread"):
            await executions.create(stranger, place.thread)
        assert await at_work.at(place, execution) is ExecutionState.CREATED
    assert refusals[0].replace(execution, execution[::-1]) == refusals[1]


@asynchronous
async def test_numbers_of_events_have_no_gap_after_a_rollback(installed: Lease) -> None:
    """A number that was taken in a transaction that is undone is the next one's."""
    async with opened(installed) as data:
        executions = Executions(data)
        place = Place(user := await new_user(data), await data.create_thread(user, "talk"))
        execution = await brought_to(executions, place, ExecutionState.ACTIVE)
        taken: list[int] = []

        async def take(*, then_fail: bool) -> None:
            async with data.transaction(user) as transaction:
                taken.append(await executions.next_seq(transaction, execution, None))
                assert not then_fail

        await take(then_fail=False)
        with pytest.raises(AssertionError):
            await take(then_fail=True)
        await take(then_fail=False)
    assert taken == [0, 1, 1]


@asynchronous
async def test_only_its_owner_takes_the_number_of_an_active_run(installed: Lease) -> None:
    """Another process is told that the run is lost, and so is its own once it is not active."""
    async with works(installed) as at_work:
        place, executions = await at_work.place(), at_work.workshop.executions
        execution = await executions.create(place.user, place.thread)

        async def take(owner: int) -> int:
            async with at_work.data.transaction(place.user) as transaction:
                return await executions.next_seq(transaction, execution, owner)

        async with at_work.data.transaction(place.user) as transaction:
            await executions.begin(transaction, execution, owner=7)
        assert await take(7) == 0
        with pytest.raises(RunLost):
            await take(8)
        await executions.move(place.user, execution, ExecutionState.SUSPENDED)
        with pytest.raises(RunLost):
            await take(7)


@asynchronous
async def test_a_request_has_one_execution_for_each_user(installed: Lease) -> None:
    """The second of a user finds the first one's; another user's is a request of its own."""
    async with works(installed) as at_work:
        places: Sequence[Place] = [await at_work.place(), await at_work.place()]
        first = [await at_work.send(place, "hello", message="one") for place in places]
        again = [await at_work.send(place, "hello", message="one") for place in places]
        await at_work.quiet()
    assert [accepted.is_new for accepted in (*first, *again)] == [True, True, False, False]
    assert [accepted.run for accepted in first] == [accepted.run for accepted in again]
    assert first[0].run != first[1].run
