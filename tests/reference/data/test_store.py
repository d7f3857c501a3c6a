"""The store: retries of the whole, transfers without a loss, refusals by their right names."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any, NamedTuple

import asyncpg
import pytest

from labkit.errors import Denied, Rejected
from labkit.ids import ThreadID, UserID
from labkit.reference.data.pool import Pool
from labkit.reference.data.store import RetryLimits, Store
from labkit.reference.data.transactions import UserTransaction
from labkit.services.endpoints import Lease
from labkit.targets.data import ExecutionResult, ThreadView, Transaction
from tests.reference.stage import asynchronous, count, new_accounts, new_user, opened, witness

RESULT = ExecutionResult(
    output={"answer": "ü", "nested": {"list": [1, 2.5, None, True]}},
    duration_s=5.2,
    tool_calls=3,
    tokens=150,
)


@asynchronous
async def test_serializable_repeats_the_whole_body(installed: Lease) -> None:
    """Who loses a race reads again: the second try starts from what the winner committed."""
    async with opened(installed) as data:
        user = await new_accounts(data, 100)
        read, overtaken = asyncio.Event(), asyncio.Event()
        seen: list[int] = []

        async def add_one(transaction: Transaction) -> None:
            ((balance,),) = await transaction.fetch("select balance from accounts")
            seen.append(balance)
            read.set()
            await overtaken.wait()
            await transaction.execute("update accounts set balance = $1", balance + 1)

        loser = asyncio.create_task(data.serializable(user, add_one))
        await read.wait()
        async with data.transaction(user) as winner:
            await winner.execute("update accounts set balance = balance + 10")
        overtaken.set()
        await loser

        assert seen == [100, 110]
        async with data.transaction(user) as transaction:
            assert await transaction.fetch("select balance from accounts") == [(111,)]


@asynchronous
async def test_write_skew_is_retried_although_only_the_commit_reports_it(installed: Lease) -> None:
    """Two transactions read both accounts and each drains another: one has to look again."""
    async with opened(installed) as data:
        user = await new_accounts(data, 10, 10)
        both_have_read = asyncio.Barrier(2)
        first_try = {"a", "b"}

        def drain(account: str) -> Callable[[Transaction], Awaitable[bool]]:
            async def body(transaction: Transaction) -> bool:
                ((total,),) = await transaction.fetch("select sum(balance) from accounts")
                if account in first_try:
                    first_try.remove(account)
                    await both_have_read.wait()
                if total < 20:
                    return False
                await transaction.execute("update accounts set balance = 0 where id = $1", account)
                return True

            return body

        outcomes = await asyncio.gather(*(data.serializable(user, drain(name)) for name in "ab"))
        assert sorted(outcomes) == [False, True]


@asynchronous
async def test_retries_are_bounded(installed: Lease) -> None:
    """Who always loses is tried as often as the limit says; then the error comes through."""
    pool = Pool(installed.platform_url)
    store = Store(pool, Random(1), retries=RetryLimits(attempts=3, longest_pause_s=0.001))
    tries: list[Transaction] = []

    async def lose(transaction: Transaction) -> None:
        tries.append(transaction)
        await transaction.execute("do $$ begin raise sqlstate '40001'; end $$")

    await pool.open()
    with pytest.raises(asyncpg.SerializationError) as caught:
        await store.serializable(UserID.new(), lose)
    await pool.close()

    assert len(tries) == len(set(map(id, tries))) == 3
    assert caught.value.__notes__ == ["given up after attempt 3"]


class Order(NamedTuple):
    """One transfer to be made."""

    source: str
    destination: str
    amount: int


def random_orders(random: Random, count: int) -> list[Order]:
    """Transfers between the accounts a, b and c, some larger than any balance."""
    pairs = [random.sample("abc", 2) for _ in range(count)]
    return [Order(source, to, random.randint(1, 150)) for source, to in pairs]


@asynchronous
async def test_transfers_keep_the_total(installed: Lease) -> None:
    """However many run at once nothing is lost or made, and no reader ever sees it so."""
    async with opened(installed) as data:
        user = await new_accounts(data, 100, 100, 100)
        orders = random_orders(Random(20260101), 60)
        totals: set[int] = set()

        async def work(mine: list[Order]) -> list[bool]:
            moved = []
            for order in mine:
                moved.append(await data.transfer(user, *order))
                async with data.transaction(user) as transaction:
                    ((total,),) = await transaction.fetch("select sum(balance) from accounts")
                    totals.add(int(total))
            return moved

        outcomes = await asyncio.gather(*(work(orders[start::5]) for start in range(5)))
        assert totals == {300}
        assert {moved for worker in outcomes for moved in worker} == {True, False}


@asynchronous
async def test_opposite_transfers_never_wait_for_each_other(installed: Lease) -> None:
    """Both have read before either writes: one is repeated, and there is no deadlock."""
    both_have_read = asyncio.Barrier(2)
    failures: list[type[Exception]] = []

    class Meeting(UserTransaction):
        """A transaction that meets another one after its reading, once."""

        async def fetch(self, sql: str, *arguments: object) -> Sequence[tuple[Any, ...]]:
            rows = await super().fetch(sql, *arguments)
            if not failures:
                await both_have_read.wait()
            return rows

        async def execute(self, sql: str, *arguments: object) -> int:
            try:
                return await super().execute(sql, *arguments)
            except asyncpg.PostgresError as error:
                failures.append(type(error))
                raise

    async with opened(installed) as data:
        user = await new_accounts(data, 10, 10)
        meeting = Store(data._pool, Random(1), Meeting)
        await asyncio.gather(
            meeting.transfer(user, "a", "b", 1), meeting.transfer(user, "b", "a", 1)
        )
    assert failures == [asyncpg.SerializationError]


@asynchronous
async def test_transfer_refuses_what_makes_no_sense(installed: Lease) -> None:
    """Too few credits is an answer; no amount, one account or an unknown one is refused."""
    async with opened(installed) as data:
        user = await new_accounts(data, 5, 5)
        stranger = await new_accounts(data, 5, 5, 5)
        assert await data.transfer(user, "a", "b", 6) is False
        assert await data.transfer(user, "a", "b", 5) is True
        for source, destination, amount in (("a", "a", 1), ("a", "b", 0), ("a", "b", -1)):
            with pytest.raises(Rejected, match="cannot move"):
                await data.transfer(user, source, destination, amount)
        with pytest.raises(Denied, match="no account 'c'"):
            await data.transfer(user, "b", "c", 1)
        assert await data.transfer(stranger, "a", "c", 1)


@asynchronous
async def test_users_reach_their_own_threads_alone(installed: Lease) -> None:
    """Another's thread is denied in the same words as one that never was, and stays as it is."""
    async with opened(installed) as data:
        owner, user = await new_user(data), await new_user(data)
        thread = await data.create_thread(owner, "private")
        for other in (thread, ThreadID.new()):
            words = f"user '{user}' has no thread '{other}'"
            with pytest.raises(Denied, match=words):
                await data.rename_thread(user, other, "stolen")
            with pytest.raises(Denied, match=words):
                await data.delete_thread(user, other)
            with pytest.raises(Denied, match=words):
                await data.add_message(user, other, "intruder")
            with pytest.raises(Denied, match=words):
                await data.start_execution(user, other)
        assert await data.threads(user) == []
        assert await data.threads(owner) == [ThreadView(thread, "private")]


@asynchronous
async def test_own_threads_are_listed_oldest_first_renamed_and_deleted(installed: Lease) -> None:
    """A deleted thread takes its messages and executions along, linked ones too."""
    async with opened(installed) as data, witness(installed) as owner:
        user = await new_user(data)
        first, second = [await data.create_thread(user, title) for title in ("one", "two")]
        message = await data.add_message(user, first, "hello")
        execution = await data.start_execution(user, first)
        await data.complete_execution(user, execution, message, RESULT)
        await data.rename_thread(user, second, "second")
        titles = [view.title for view in await data.threads(user)]
        await data.delete_thread(user, first)

        assert titles == ["one", "second"]
        assert [view.id for view in await data.threads(user)] == [second]
        assert await count(owner, user) == {"threads": 1, "messages": 0, "executions": 0}


@asynchronous
async def test_completed_execution_is_stored_with_types_and_json(installed: Lease) -> None:
    """Link, output, duration and counts are read back equal by the owner of the tables."""
    async with opened(installed) as data, witness(installed) as owner:
        user = await new_user(data)
        thread = await data.create_thread(user, "work")
        execution = await data.start_execution(user, thread)
        message = await data.add_message(user, thread, "answer")
        status = "select status from executions where id = $1"
        assert await owner.fetchval(status, execution) == "active"
        await data.complete_execution(user, execution, message, RESULT)
        row = await owner.fetchrow(
            "select status, message_id, duration_s, tool_calls, tokens, completed_at is not null,"
            " jsonb_typeof(output), output = $2::text::jsonb from executions where id = $1",
            execution,
            '{"nested": {"list": [1, 2.5, null, true]}, "answer": "ü"}',
        )
        assert row is not None
        assert tuple(row) == ("completed", message, 5.2, 3, 150, True, "object", True)


@asynchronous
async def test_execution_is_linked_to_a_message_of_its_own_thread_alone(installed: Lease) -> None:
    """Another thread's message and another user's are denied, and nothing of the result is kept."""
    async with opened(installed) as data, witness(installed) as owner:
        user, stranger = await new_user(data), await new_user(data)
        thread = await data.create_thread(user, "work")
        execution = await data.start_execution(user, thread)
        for whose in (user, stranger):
            elsewhere = await data.create_thread(whose, "elsewhere")
            message = await data.add_message(whose, elsewhere, "foreign")
            with pytest.raises(Denied, match="no message in that thread"):
                await data.complete_execution(user, execution, message, RESULT)
        row = await owner.fetchrow(
            "select status, message_id, output from executions where id = $1", execution
        )
        assert row is not None
        assert tuple(row) == ("active", None, None)


@asynchronous
async def test_execution_is_completed_once_and_by_its_user(installed: Lease) -> None:
    """A second completion, and one by another user, finds no running execution."""
    async with opened(installed) as data:
        user, stranger = await new_user(data), await new_user(data)
        thread = await data.create_thread(user, "work")
        execution = await data.start_execution(user, thread)
        message = await data.add_message(user, thread, "answer")
        with pytest.raises(Denied, match="no running execution"):
            await data.complete_execution(stranger, execution, message, RESULT)
        await data.complete_execution(user, execution, message, RESULT)
        with pytest.raises(Denied, match="no running execution"):
            await data.complete_execution(user, execution, message, RESULT)


@asynchronous
async def test_what_is_not_valid_is_rejected(installed: Lease) -> None:
    """Bad ids, NULs, negative balances and a second account of one name are; odd ids are not."""
    async with opened(installed) as data:
        for nobody in ("", "nul\0", "half \ud800", secrets.token_hex(5_000)):
            with pytest.raises(Rejected, match="user's id must be"):
                await data.create_user(nobody)
        user = "o'neil:*\n\"%_ü"
        await data.create_user(user)
        await data.open_account(user, "a", 0)
        for account, balance in (("a", 1), ("b", -1)):
            with pytest.raises(Rejected, match=f"cannot open account '{account}'"):
                await data.open_account(user, account, balance)
        with pytest.raises(Rejected):
            await data.create_thread(user, "nul\0")


@asynchronous
async def test_unregistered_user_is_denied(installed: Lease) -> None:
    """Who never registered has no threads and can make none."""
    async with opened(installed) as data:
        nobody = UserID.new()
        assert await data.threads(nobody) == []
        with pytest.raises(Denied, match="not registered"):
            await data.create_thread(nobody, "first")
        with pytest.raises(Denied, match="not registered"):
            await data.open_account(nobody, "a", 1)
