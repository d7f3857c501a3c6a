"""Each sabotage breaks the promise that it is named for, which the platform itself keeps."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress

import asyncpg
import pytest

from labkit.errors import Denied, Rejected
from labkit.reference import Platform
from labkit.reference.data.store import Store
from labkit.reference.sabotage import data as sabotages
from labkit.reference.sabotage import schema
from labkit.services.endpoints import Lease
from labkit.targets.data import ExecutionResult, Isolation, Transaction
from tests.reference.stage import asynchronous, doomed, new_accounts, new_user, opened

Probe = Callable[[Store], Awaitable[bool]]


async def failing_transactions_leave_nothing(data: Store) -> bool:
    """Nothing is left of a thread and message before a duplicate user id."""
    user = await new_user(data)
    with suppress(Rejected):
        await doomed(data, user)
    return await data.threads(user) == []


async def commits_wait_for_the_disk(data: Store) -> bool:
    """No transaction asks the server to acknowledge it early."""
    async with data.transaction("anyone") as transaction:
        return await transaction.fetch("show synchronous_commit") == [("on",)]


async def serializable_bodies_lose_no_update(data: Store) -> bool:
    """An update is overtaken between its reading and its writing, and still counts."""
    user = await new_accounts(data, 100, 0)
    read, overtaken = asyncio.Event(), asyncio.Event()

    async def move_one(transaction: Transaction) -> None:
        balances = await transaction.fetch("select balance from accounts order by id")
        read.set()
        await overtaken.wait()
        for (balance,), account, change in zip(balances, "ab", (-1, 1), strict=True):
            sql = "update accounts set balance = $2 where id = $1"
            await transaction.execute(sql, account, balance + change)

    loser = asyncio.create_task(data.serializable(user, move_one))
    await read.wait()
    await data.transfer(user, "a", "b", 10)
    overtaken.set()
    await loser
    async with data.transaction(user) as transaction:
        return await transaction.fetch("select balance from accounts order by id") == [(89,), (11,)]


async def at_once(data: Store, user: str, count: int) -> bool:
    """Whether that many transactions can be open at the same time, given that one less can."""
    async with AsyncExitStack() as stack:
        async with asyncio.timeout(15):
            for _ in range(count - 1):
                await stack.enter_async_context(data.transaction(user))
        try:
            async with asyncio.timeout(5):  # less than the pool itself waits
                await stack.enter_async_context(data.transaction(user))
        except TimeoutError:
            return False
    return True


async def pools_are_bounded(data: Store) -> bool:
    """There is no connection beyond those that the pool says it has."""
    return not await at_once(data, await new_user(data), data.pool_size + 1)


async def cancelled_waiters_take_nothing(data: Store) -> bool:
    """All connections are there after somebody was cancelled while waiting for one."""
    user = await new_user(data)
    async with AsyncExitStack() as stack:
        for _ in range(data.pool_size):
            await stack.enter_async_context(data.transaction(user))
        waiter = asyncio.create_task(data.threads(user))
        for _ in range(10):
            await asyncio.sleep(0)
        waiter.cancel()
        await asyncio.wait([waiter])
    return await at_once(data, user, data.pool_size)


async def rows_of_others_are_hidden(data: Store) -> bool:
    """Hand-written SQL finds another's thread by no means."""
    owner, user = await new_user(data), await new_user(data)
    await data.create_thread(owner, "private")
    async with data.transaction(user) as transaction:
        sql = "select id from threads where user_id = $1"
        return await transaction.fetch(sql, owner) == []


async def writing_as_another_is_refused(data: Store) -> bool:
    """Hand-written SQL cannot insert a row that belongs to another."""
    owner, user = await new_user(data), await new_user(data)
    thread = await data.create_thread(owner, "private")
    insert = "insert into messages (id, user_id, thread_id, text) values ($1, $2, $3, '')"
    try:
        async with data.transaction(user) as transaction:
            await transaction.execute(insert, f"by {user}", owner, thread)
    except asyncpg.InsufficientPrivilegeError:
        return True
    return False


async def threads_of_others_take_no_message(data: Store) -> bool:
    """A message of one's own does not fit into another's thread."""
    owner, user = await new_user(data), await new_user(data)
    thread = await data.create_thread(owner, "private")
    try:
        await data.add_message(user, thread, "intruder")
    except Denied:
        return True
    return False


async def outputs_keep_their_types(data: Store) -> bool:
    """A nested output is read back equal."""
    output = {"nested": {"list": [1, None]}, "number": 2}
    user = await new_user(data)
    thread = await data.create_thread(user, "work")
    message = await data.add_message(user, thread, "answer")
    execution = await data.start_execution(user, thread)
    await data.complete_execution(user, execution, message, ExecutionResult(output, 1.0, 0, 1))
    async with data.transaction(user) as transaction:
        return await transaction.fetch("select output from executions") == [(output,)]


async def links_are_enforced(data: Store) -> bool:
    """An execution cannot be linked to a message that its thread does not have."""
    user = await new_user(data)
    execution = await data.start_execution(user, await data.create_thread(user, "work"))
    try:
        await data.complete_execution(user, execution, "none", ExecutionResult({}, 1.0, 0, 1))
    except Denied:
        return True
    return False


async def levels_are_as_asked_for(data: Store) -> bool:
    """The server runs each transaction at the level that it was begun with."""
    found: list[tuple[str]] = []
    for isolation in Isolation:
        async with data.transaction("anyone", isolation) as transaction:
            found += await transaction.fetch("show transaction_isolation")
    return found == [(isolation,) for isolation in Isolation]


BROKEN_BY_CODE: list[tuple[type[Platform], Probe]] = [
    (sabotages.CommitsEachStatement, failing_transactions_leave_nothing),
    (sabotages.CommitsOnError, failing_transactions_leave_nothing),
    (sabotages.AcknowledgesTooEarly, commits_wait_for_the_disk),
    (sabotages.TransfersAtReadCommitted, serializable_bodies_lose_no_update),
    (sabotages.RepeatsTheLastStatement, serializable_bodies_lose_no_update),
    (sabotages.GrowsPastItsBound, pools_are_bounded),
    (sabotages.LeaksOnCancel, cancelled_waiters_take_nothing),
    (sabotages.FlattensJson, outputs_keep_their_types),
    (sabotages.AlwaysReadCommitted, levels_are_as_asked_for),
    (sabotages.AlwaysRepeatableRead, levels_are_as_asked_for),
    (sabotages.AlwaysSerializable, levels_are_as_asked_for),
]

BROKEN_BY_SCHEMA: list[tuple[type[Platform], Probe]] = [
    (schema.WithoutRowLevelSecurity, rows_of_others_are_hidden),
    (schema.WritesUnchecked, writing_as_another_is_refused),
    (schema.ForeignKeyOnTheIdAlone, threads_of_others_take_no_message),
    (schema.LinkNotEnforced, links_are_enforced),
]

EVERY_PROBE = dict.fromkeys(probe for _, probe in BROKEN_BY_CODE + BROKEN_BY_SCHEMA)


@pytest.mark.parametrize("probe", EVERY_PROBE)
@asynchronous
async def test_platform_keeps_the_promise(installed: Lease, probe: Probe) -> None:
    """Every probe holds on the platform as it is."""
    async with opened(installed) as data:
        assert await probe(data)


@pytest.mark.parametrize(("saboteur", "probe"), BROKEN_BY_CODE)
@asynchronous
async def test_replaced_code_breaks_the_promise(
    installed: Lease, saboteur: type[Platform], probe: Probe
) -> None:
    """The probe fails where a part of the platform's code is replaced."""
    async with opened(installed, saboteur) as data:
        assert not await probe(data)


@pytest.mark.parametrize(("saboteur", "probe"), BROKEN_BY_SCHEMA)
@asynchronous
async def test_replaced_schema_breaks_the_promise(
    copied: Lease, saboteur: type[Platform], probe: Probe
) -> None:
    """The probe fails where the schema is another, also when it was installed before and twice."""
    await saboteur.install(copied)
    await saboteur.install(copied)
    async with opened(copied, saboteur) as data:
        assert not await probe(data)


def test_every_sabotage_is_probed() -> None:
    """No sabotage is without a promise that it is seen to break."""
    named = {one.target.partition(":")[2] for one in (*sabotages.SABOTAGES, *schema.SABOTAGES)}
    probed = {saboteur.__name__ for saboteur, _ in BROKEN_BY_CODE + BROKEN_BY_SCHEMA}
    assert named == probed
