"""Owners: who is alive holds its lock, and who is gone does not, however it went."""

import sys
from random import Random

import pytest

from labkit.errors import ServiceUnavailable
from labkit.faults.detours import postgres_detour
from labkit.faults.flow import Direction
from labkit.faults.processes import victim
from labkit.redaction import Secret
from labkit.reference.data.store import Store
from labkit.reference.execution.orphans import OwnerLock, is_gone
from labkit.services.endpoints import Lease
from tests.reference.stage import asynchronous, new_user, opened, witness
from tests.reference.works import until

HELD = "select pid from pg_locks where locktype = 'advisory' and granted"
HELD += " and (classid::bigint << 32) + objid::bigint = $1"

IDLE = """
    select pid from pg_stat_activity where usename = $1 and pid <> $2
       and state = 'idle' and query = ''
"""
"""Who has logged in after another, and asked for nothing yet."""


async def seen_as_gone(data: Store, key: int | None) -> bool:
    """Whether another session takes the owner for gone."""
    user = await new_user(data)
    async with data.transaction(user) as transaction:
        return await is_gone(transaction, key)


@asynchronous
async def test_an_owner_is_there_until_it_closes(installed: Lease) -> None:
    """Before it opens and after it closes it is gone, and nobody is always gone."""
    async with opened(installed) as data:
        lock = OwnerLock(installed.platform_url)
        before = await seen_as_gone(data, lock.key)
        await lock.open()
        during = await seen_as_gone(data, lock.key)
        await lock.close()
        after = await seen_as_gone(data, lock.key)
        nobody = await seen_as_gone(data, None)
    assert (before, during, after, nobody) == (True, False, True, True)


@asynchronous
async def test_an_owner_who_is_gone_is_gone_for_all_who_ask(installed: Lease) -> None:
    """Also for those who ask at one time: a process that was killed may have left many runs."""
    async with opened(installed) as data:
        key = OwnerLock(installed.platform_url).key
        async with data.transaction(await new_user(data)) as transaction:
            first = await is_gone(transaction, key)
            second = await seen_as_gone(data, key)
    assert (first, second) == (True, True)


@asynchronous
async def test_a_lock_whose_connection_was_lost_is_taken_again(installed: Lease) -> None:
    """The server ends the connection; the owner still lives, and says so again."""
    async with opened(installed) as data, witness(installed) as owner:
        lock = OwnerLock(installed.platform_url)
        await lock.open()
        first = await owner.fetchval(HELD, lock.key)
        await owner.execute("select pg_terminate_backend($1)", first)

        async def held_by_another() -> int | None:
            pid: int | None = await owner.fetchval(HELD, lock.key)
            return pid if pid != first else None

        assert await until(held_by_another)
        assert not await seen_as_gone(data, lock.key)
        await lock.close()
        assert await seen_as_gone(data, lock.key)


@asynchronous
async def test_a_lock_whose_new_connection_is_lost_too_is_taken_again(installed: Lease) -> None:
    """The server ends that one before its first statement, which the driver tells otherwise."""
    async with (
        postgres_detour(installed.platform_url, random=Random(1)) as detour,
        opened(installed) as data,
        witness(installed) as owner,
    ):
        lock = OwnerLock(detour.url)
        await lock.open()
        first = await owner.fetchval(HELD, lock.key)
        gate = detour.proxy.hold(Direction.DOWNSTREAM, when=b"server_version")
        await owner.execute("select pg_terminate_backend($1)", first)

        async def connecting() -> int | None:
            pid: int | None = await owner.fetchval(IDLE, installed.platform_role, first)
            return pid

        second = await until(connecting)
        await owner.execute("select pg_terminate_backend($1, 10000)", second)
        detour.proxy.remove(gate)

        async def held() -> int | None:
            pid: int | None = await owner.fetchval(HELD, lock.key)
            return pid

        assert await until(held) not in {first, second}
        await lock.close()
        assert await seen_as_gone(data, lock.key)


WORKER = """
import asyncio, sys
from labkit.redaction import Secret
from labkit.reference.execution.orphans import OwnerLock

async def main():
    lock = OwnerLock(Secret(sys.stdin.readline().strip()))
    await lock.open()
    print(lock.key, flush=True)
    await asyncio.sleep(3600)

asyncio.run(main())
"""


@asynchronous
async def test_an_owner_that_was_killed_is_gone(installed: Lease) -> None:
    """The server frees the lock of a process that could not."""
    async with opened(installed) as data, victim([sys.executable, "-c", WORKER]) as worker:
        await worker.tell(installed.platform_url.reveal())
        key = int(await worker.line(deadline_s=60))
        assert not await seen_as_gone(data, key)
        assert await worker.kill() == -9

        async def gone() -> bool | None:
            return await seen_as_gone(data, key) or None

        assert await until(gone)


@asynchronous
async def test_a_server_that_refuses_is_told_as_unavailable() -> None:
    """An owner that cannot have its lock does not open, and closing it is harmless."""
    lock = OwnerLock(Secret("postgresql://nobody@127.0.0.1:1/nowhere"))
    with pytest.raises(ServiceUnavailable, match="refuses the owner's lock"):
        await lock.open()
    await lock.close()


def test_two_owners_have_two_keys() -> None:
    """A key is one process's own."""
    keys = {OwnerLock(Secret("postgresql://nowhere")).key for _ in range(100)}
    assert len(keys) == 100
