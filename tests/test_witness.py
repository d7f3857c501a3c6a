"""The witness on a real lease, whose owner is no superuser."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import pytest

from labkit.errors import LeaseError, ServiceUnavailable, UsageError
from labkit.redaction import Secret
from labkit.services.connect import connect_redis
from labkit.services.endpoints import Lease
from labkit.services.urls import RedisUrl
from labkit.witness import APPLICATION_NAME, Witness, table_name


@contextlib.asynccontextmanager
async def platform(lease: Lease) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection of the platform's role."""
    connection = await asyncpg.connect(lease.platform_url.reveal())
    try:
        yield connection
    finally:
        await connection.close()


def test_rows_values_and_counts_are_read_as_the_owner(lease: Lease) -> None:
    """Rows come as tuples, arguments as `$1`; a value of no row is None."""

    async def look() -> None:
        async with Witness(lease) as witness:
            await witness.fetch("create table things (id integer, name text)")
            await witness.fetch("insert into things values (1, 'a'), (2, 'b')")

            rows = await witness.fetch("select id, name from things where id >= $1", 1)
            assert rows == [(1, "a"), (2, "b")]
            assert await witness.value("select name from things where id = $1", 2) == "b"
            assert await witness.value("select name from things where id = 3") is None
            assert await witness.count("things") == 2
            assert await witness.count("public.things", "name = $1 and id < $2", "a", 5) == 1
            assert await witness.value("select current_user") == lease.owner_role
            assert await witness.value("select usesuper from pg_user where usename = user") is False

    asyncio.run(look())


@pytest.mark.parametrize("name", ["", "things; drop table users", "a.b.c", 'a"b', "Things", "1st"])
def test_only_a_name_passes_for_a_table(name: str) -> None:
    """What could be more than a table's name is refused, with the name in the message."""
    with pytest.raises(UsageError, match="is not the name of a table"):
        table_name(name)


def test_several_tasks_may_ask_at_once(lease: Lease) -> None:
    """Concurrent questions take turns on the one connection."""

    async def look() -> None:
        async with Witness(lease) as witness:
            asked = [witness.value("select $1::integer", number) for number in range(9)]
            assert await asyncio.gather(*asked) == list(range(9))

    asyncio.run(look())


def test_a_statement_that_the_server_refuses_says_which(lease: Lease) -> None:
    """The server's complaint comes with the statement that it is about."""

    async def look() -> None:
        async with Witness(lease) as witness:
            with pytest.raises(LeaseError, match=r"select \* from nowhere.*does not exist"):
                await witness.fetch("select * from nowhere")

    asyncio.run(look())


def test_a_server_that_is_not_there_is_unavailable(lease: Lease) -> None:
    """Nothing listens on the port: the witness says so, and holds nothing."""
    nobody = replace(lease, owner_url=Secret("postgresql://nobody@127.0.0.1:1/nothing"))

    async def look() -> None:
        with pytest.raises(ServiceUnavailable, match=r"127\.0\.0\.1:1"):
            await Witness(nobody).__aenter__()

    asyncio.run(look())


def test_the_platforms_backends_are_seen_with_their_state(lease: Lease) -> None:
    """An owner that is no superuser sees whether the platform's role is in a transaction."""

    async def look() -> None:
        async with Witness(lease) as witness, platform(lease) as connection:
            pid = connection.get_server_pid()
            (idle,) = await witness.backends(lease.platform_role)
            assert (idle.pid, idle.state, idle.transaction_began_at) == (pid, "idle", None)
            assert idle.application_name == ""
            await connection.execute("set application_name = 'backend/test'")
            (named,) = await witness.backends(lease.platform_role)
            assert named.application_name == "backend/test"

            await connection.execute("begin")
            (open_one,) = await witness.backends(lease.platform_role)
            assert open_one.state == "idle in transaction"
            # The server says what it waits for a moment after it has answered.
            assert await witness.seen(
                lease.platform_role, lambda backend: backend.waits_for == "ClientRead"
            )
            assert open_one.transaction_began_at is not None

    asyncio.run(look())


def test_a_role_whose_state_is_hidden_is_an_error(lease: Lease) -> None:
    """Who may not see what a role does is told so, instead of taking it for idle."""
    swapped = replace(lease, owner_url=lease.platform_url, owner_role=lease.platform_role)

    async def look() -> None:
        async with Witness(lease), Witness(swapped) as stranger:
            with pytest.raises(LeaseError, match=f"grant {lease.owner_role} to"):
                await stranger.backends(lease.owner_role)

    asyncio.run(look())


def test_who_blocks_whom_is_seen(lease: Lease) -> None:
    """A backend that waits for another one's lock names it; one that does not wait names none."""

    async def look() -> None:
        async with Witness(lease) as witness, platform(lease) as one, platform(lease) as two:
            await one.execute("begin; select pg_advisory_xact_lock(7)")
            waiting = asyncio.create_task(two.execute("select pg_advisory_xact_lock(7)"))
            async with asyncio.timeout(5):
                while not await witness.blocked_by(two.get_server_pid()):
                    assert not waiting.done()

            assert await witness.blocked_by(two.get_server_pid()) == {one.get_server_pid()}
            assert await witness.blocked_by(one.get_server_pid()) == frozenset()
            await one.execute("rollback")
            await waiting

    asyncio.run(look())


def test_a_backend_that_ends_is_gone(lease: Lease) -> None:
    """The end of a backend is waited for; one that lives on is not gone when time is up."""

    async def look() -> None:
        async with Witness(lease) as witness:
            async with platform(lease) as connection:
                pid = connection.get_server_pid()
                assert not await witness.gone(pid, deadline_s=0)
            assert await witness.gone(pid)

    asyncio.run(look())


def test_keys_are_those_under_the_leases_prefix(lease: Lease) -> None:
    """All of many keys are found, and only keys of this lease."""

    async def look() -> None:
        redis = await connect_redis(RedisUrl.parse(lease.redis_url.reveal()), name="test")
        names = {f"{lease.redis_prefix}key:{number}" for number in range(1_200)}
        elsewhere = replace(lease, redis_prefix=f"{lease.redis_prefix}key:11")
        try:
            async with Witness(lease) as witness, Witness(elsewhere) as narrow:
                assert await witness.keys() == frozenset()
                await redis.command("MSET", *[part for name in names for part in (name, "x")])
                assert await witness.keys() == names
                assert await narrow.keys() == {n for n in names if ":key:11" in n}
        finally:
            await redis.command("DEL", *names)
            await redis.close()

    asyncio.run(look())


def test_what_a_key_holds_is_read_whatever_its_kind(lease: Lease) -> None:
    """Every text of it is there; where there is no key there is nothing."""
    commands: tuple[tuple[tuple[str, ...], list[str]], ...] = (
        (("SET", "string", "a"), ["a"]),
        (("HSET", "hash", "name", "value"), ["name", "value"]),
        (("RPUSH", "list", "a", "b", "a"), ["a", "b", "a"]),
        (("SADD", "set", "a"), ["a"]),
        (("ZADD", "zset", "1.5", "a"), ["a", "1.5"]),
        (("XADD", "stream", "1-1", "name", "value"), ["1-1", "name", "value"]),
    )

    async def look() -> None:
        redis = await connect_redis(RedisUrl.parse(lease.redis_url.reveal()), name="test")
        try:
            async with Witness(lease) as witness:
                for (command, name, *rest), held in commands:
                    key = f"{lease.redis_prefix}{name}"
                    assert await witness.held(key) == []
                    await redis.command(command, key, *rest)
                    assert await witness.held(key) == held
                key = f"{lease.redis_prefix}string"
                assert await asyncio.gather(*(witness.held(key) for _ in range(5))) == [["a"]] * 5
        finally:
            await redis.close()

    asyncio.run(look())


def test_what_a_key_has_left_to_live_is_the_servers_word(lease: Lease) -> None:
    """A time, no end, or no key: each is told apart."""

    async def look() -> None:
        redis = await connect_redis(RedisUrl.parse(lease.redis_url.reveal()), name="test")
        try:
            async with Witness(lease) as witness:
                key = f"{lease.redis_prefix}key"
                assert await witness.left_ms(key) is None
                await redis.command("SET", key, "x", "PX", 60_000)
                left_ms = await witness.left_ms(key)
                assert left_ms is not None
                assert 0 < left_ms <= 60_000
                await redis.command("PERSIST", key)
                assert await witness.left_ms(key) == math.inf
        finally:
            await redis.close()

    asyncio.run(look())


def test_a_witness_that_has_left_holds_no_connection(lease: Lease) -> None:
    """Leaving the witness ends its connection at the server."""
    sql = "select pid from pg_stat_activity where application_name = $1 and datname = $2"

    async def look() -> None:
        async with Witness(lease) as witness:
            pid = await witness.value("select pg_backend_pid()")
        async with Witness(lease) as other:
            assert await other.gone(pid)
            own = await other.value("select pg_backend_pid()")
            assert await other.fetch(sql, APPLICATION_NAME, lease.database) == [(own,)]

    asyncio.run(look())
