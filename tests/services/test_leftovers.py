"""Owners of leases that are killed, and what is found and removed of them."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path

import pytest

from labkit.services.endpoints import Services
from labkit.services.leases import GIVE_BACK_S, LeaseHolder
from labkit.services.leftovers import (
    remove_postgres_leftovers,
    remove_redis_leftovers,
    will_of,
)
from labkit.services.markers import new_lease_id
from labkit.services.redis_leases import MARKERS, remove_redis_lease
from labkit.services.urls import PostgresUrl, RedisUrl
from tests.services.owners import eventually, kill, owner
from tests.services.test_leases import are_swept, postgres, redis, traces

# Each lease is stopped before its next statement, one statement later than the lease before it,
# until one is whole; then the process says which there are, and waits to be killed.
HALF_MADE = """
import asyncio, json, sys
from labkit.services.connect import connect_postgres, connect_redis
from labkit.services.markers import new_lease_id
from labkit.services.postgres_leases import make_postgres_lease
from labkit.services.redis_leases import hold_redis_lease, make_redis_lease
from labkit.services.urls import PostgresUrl, RedisUrl

class Stepping:
    def __init__(self, connection, steps):
        self.connection, self.steps, self.stopped = connection, steps, asyncio.Event()

    def __getattr__(self, name):
        async def step(*arguments):
            if not self.steps:
                self.stopped.set()
                await asyncio.Event().wait()
            self.steps -= 1
            return await getattr(self.connection, name)(*arguments)
        return self.connection.transaction if name == "transaction" else step

async def stopped_after(make, connection, steps):
    stepping = Stepping(connection, steps)
    making = asyncio.create_task(make(stepping))
    stopping = asyncio.create_task(stepping.stopped.wait())
    await asyncio.wait({making, stopping}, return_when=asyncio.FIRST_COMPLETED)
    return (making, stopping)

async def main(postgres, redis):
    kept, ids = [], []
    for service in ("postgres", "redis"):
        whole = False
        while not whole:
            lease_id = new_lease_id()
            if service == "postgres":
                connection = await connect_postgres(postgres, name="test")
                make = lambda c: make_postgres_lease(c, postgres, lease_id, template_id=None)
            else:
                mark = await connect_redis(redis, name="test")
                await hold_redis_lease(mark, lease_id)
                connection = await connect_redis(redis, name="test")
                kept.append(mark)
                make = lambda c: make_redis_lease(c, redis, lease_id)
            tasks = await stopped_after(make, connection, len(ids))
            whole = tasks[0].done() and not tasks[0].exception()
            kept += [connection, *tasks]
            ids.append(lease_id)
            if whole and service == "postgres":
                ids_of_postgres, ids = ids, []
    print(json.dumps([ids_of_postgres, ids]), flush=True)
    await asyncio.Event().wait()

asyncio.run(main(PostgresUrl.parse(sys.argv[1]), RedisUrl.parse(sys.argv[2])))
"""

WITH_A_LEASE = """
import asyncio, json, os, sys
from pathlib import Path
from labkit.services.leases import GIVE_BACK_S, LeaseHolder
from labkit.services.open import open_services

async def main():
    environment = dict(os.environ, LABKIT_POSTGRES_URL=sys.argv[1], LABKIT_REDIS_URL=sys.argv[2])
    async with open_services(environment, cache=Path(sys.argv[3])) as services:
        async with LeaseHolder(services) as holder:
            leases = [await holder.take()]
            leases.append(await holder.take(template=leases[0]))
            print(json.dumps([lease.id for lease in leases]), flush=True)
            await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def urls(services: Services) -> tuple[str, str]:
    """The servers' URLs, as they are given to other processes."""
    return urls_of(services)


def urls_of(services: Services) -> tuple[str, str]:
    """The URLs of servers in plain text."""
    return services.postgres.url.reveal(), services.redis.url.reveal()


async def remove_leftovers(services: Services) -> tuple[str, ...]:
    """What was removed from both servers."""
    postgres_url, redis_url = urls_of(services)
    removed = await remove_postgres_leftovers(PostgresUrl.parse(postgres_url))
    return removed + await remove_redis_leftovers(RedisUrl.parse(redis_url))


async def all_traces(services: Services, lease_ids: list[str]) -> list[str]:
    """All that the servers still know of some leases."""
    return [trace for lease_id in lease_ids for trace in await traces(services, lease_id)]


def test_an_owner_killed_at_any_moment_leaves_what_can_be_found(
    services: Services, urls: tuple[str, str]
) -> None:
    """Before each statement of either half: while it lives nothing is touched, then all goes."""
    with owner(HALF_MADE, *urls) as (process, (postgres_ids, redis_ids)):
        assert len(postgres_ids) >= 8
        assert len(redis_ids) >= 3
        ids = postgres_ids + redis_ids
        before = asyncio.run(all_traces(services, ids))
        assert before
        asyncio.run(remove_leftovers(services))
        assert asyncio.run(all_traces(services, ids)) == before
        kill(process.pid)
        process.wait()
        assert eventually(lambda: are_swept(services, *ids))


def test_several_sweepers_do_not_fight(own_services: Services) -> None:
    """At once, they remove everything once and none fails; a living lease beside it stays."""

    async def sweep(lease_ids: list[str]) -> list[str]:
        async with LeaseHolder(own_services) as holder:
            living = await holder.take()
            before = await traces(own_services, living.id)
            told = await asyncio.gather(*(remove_leftovers(own_services) for _ in range(4)))
            assert await traces(own_services, living.id) == before
        return [line for lines in told for line in lines if any(i in line for i in lease_ids)]

    with owner(HALF_MADE, *urls_of(own_services)) as (process, (postgres_ids, redis_ids)):
        kill(process.pid)
        process.wait()
        whole = [postgres_ids[-1], redis_ids[-1]]
        assert eventually(lambda: _is_free(own_services, *whole))
        told = asyncio.run(sweep(whole))
        assert asyncio.run(all_traces(own_services, postgres_ids + redis_ids)) == []
    assert sorted(told) == sorted(set(told))
    assert len(told) == 2


def _is_free(services: Services, *lease_ids: str) -> bool:
    """Whether the servers have noticed that the owner is gone."""

    async def ask() -> bool:
        async with postgres(services.postgres.url) as connection:
            held = await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'test'"
            )
        async with redis(services.redis.url) as session:
            channels = [f"labkit-owner:{lease_id}" for lease_id in lease_ids]
            answer = await session.command("PUBSUB", "NUMSUB", *channels)
        return not held and not any(answer[1::2])

    return asyncio.run(ask())


def test_what_only_looks_like_a_lease_is_left_alone(services: Services) -> None:
    """Names prove nothing: neither without a marker nor with one that is another's."""
    lease_id = new_lease_id()
    name, key = f"labkit_{lease_id}", f"labkit:{lease_id}:key"
    forged = json.dumps(
        {"kind": "labkit lease 1", "id": new_lease_id(), "held_in": "", "made_at": 0}
    )

    async def sweep() -> None:
        async with postgres(services.postgres.url) as own, redis(services.redis.url) as session:
            await own.execute(f"CREATE ROLE {name}")
            await own.execute(f"CREATE DATABASE {name}")
            await session.command("SET", key, "1")
            await session.command("HSET", MARKERS, lease_id, forged)
            await session.command("ACL", "SETUSER", name)
            try:
                before = await traces(services, lease_id)
                assert len(before) == 5
                await remove_leftovers(services)
                await own.execute(f"COMMENT ON ROLE {name} IS '{forged}'")
                await remove_leftovers(services)
                assert await traces(services, lease_id) == before
            finally:
                await own.execute(f"DROP DATABASE {name}")
                await own.execute(f"DROP ROLE {name}")
                await session.command("DEL", key)
                await session.command("HDEL", MARKERS, lease_id)
                await session.command("ACL", "DELUSER", name)

    asyncio.run(sweep())


def test_an_unmarked_namespace_is_not_removed_even_when_asked(services: Services) -> None:
    """A sweeper that was overtaken by another has nothing left to do."""
    lease_id = new_lease_id()

    async def remove() -> None:
        async with redis(services.redis.url) as session:
            await session.command("SET", f"labkit:{lease_id}:key", "1")
            assert not await remove_redis_lease(session, lease_id, 0)
            assert await session.command("DEL", f"labkit:{lease_id}:key") == 1

    asyncio.run(remove())


def test_a_killed_run_on_given_servers_gives_its_leases_back(
    services: Services, urls: tuple[str, str], tmp_path: Path
) -> None:
    """Nobody needs to start another run for that: its keeper executes the will."""
    with owner(WITH_A_LEASE, *urls, str(tmp_path)) as (process, lease_ids):
        assert asyncio.run(all_traces(services, lease_ids))
        kill(process.pid)
        process.wait()
        assert eventually(lambda: not asyncio.run(all_traces(services, lease_ids)))


def test_a_will_is_carried_out_beside_the_living(
    services: Services, urls: tuple[str, str], tmp_path: Path
) -> None:
    """However many there are, it does not wait for each, nor do they wait for it."""

    def is_carried_out(lease_ids: list[str]) -> bool:
        return eventually(lambda: not asyncio.run(all_traces(services, lease_ids)))

    async def beside(process_pid: int, lease_ids: list[str]) -> None:
        async with LeaseHolder(services) as holder:
            living = [await holder.take() for _ in range(6)]
            kill(process_pid)
            assert await asyncio.to_thread(is_carried_out, lease_ids)
            for lease in living:  # the will still looks whether one of them is its owner's
                async with asyncio.timeout(GIVE_BACK_S / 2):
                    await holder.give_back(lease)

    with owner(WITH_A_LEASE, *urls, str(tmp_path)) as (process, lease_ids):
        asyncio.run(beside(process.pid, lease_ids))
        process.wait()


def test_a_will_shows_no_password_and_needs_no_environment(urls: tuple[str, str]) -> None:
    """The URLs travel by its input alone, and it runs from anywhere."""
    will = will_of(PostgresUrl.parse(urls[0]), None)
    password = PostgresUrl.parse(urls[0]).password
    assert password is None or password not in repr(will)
    done = subprocess.run(
        will.argv,
        input=will.stdin,
        text=True,
        cwd="/",
        env={},
        timeout=will.deadline_s,
        check=False,
    )
    assert done.returncode == 0
