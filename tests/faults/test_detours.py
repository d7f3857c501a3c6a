"""Real drivers talk to real servers through the proxy, and feel what it does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from tempfile import TemporaryDirectory

import asyncpg
import pytest
import redis.asyncio
from redis import exceptions as redis_exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from labkit.errors import UsageError
from labkit.faults.detours import Detour, postgres_detour, redis_detour
from labkit.faults.flow import Direction
from labkit.faults.toxics import LimitData, ResetPeer, Timeout
from labkit.redaction import Secret
from labkit.services.connect import PostgresConnection
from labkit.services.endpoints import Lease
from labkit.services.urls import PostgresUrl, RedisUrl
from tests.faults.stage import LONG_S, SHORT_S, client_of, served, served_at
from tests.reference.stage import asynchronous, witness


@asynccontextmanager
async def to_postgres(lease: Lease) -> AsyncIterator[tuple[Detour, PostgresConnection]]:
    """A detour to the leased database, and a connection over it with a table of one column."""
    async with postgres_detour(lease.owner_url, random=Random(1)) as detour:
        connection = await asyncpg.connect(detour.url.reveal())
        try:
            await connection.execute("create table notes (text text)")
            yield detour, connection
        finally:
            connection.terminate()


@asynccontextmanager
async def to_redis(lease: Lease) -> AsyncIterator[tuple[Detour, redis.asyncio.Redis]]:
    """A detour to the leased namespace, and a client over it that tries nothing twice."""
    async with redis_detour(lease.redis_url, random=Random(1)) as detour:
        client = redis.asyncio.Redis.from_url(
            detour.url.reveal(), retry=Retry(NoBackoff(), 0), socket_timeout=LONG_S
        )
        try:
            yield detour, client
        finally:
            await client.connection_pool.disconnect()


@asynchronous
async def test_postgres_answers_over_a_detour(lease: Lease) -> None:
    """The same login, the same database."""
    async with to_postgres(lease) as (_, connection):
        assert await connection.fetchval("select current_database()") == lease.database


@asynchronous
async def test_a_reply_of_postgres_is_held_until_it_is_released(lease: Lease) -> None:
    """The statement has run meanwhile, which another connection sees."""
    async with to_postgres(lease) as (detour, connection), witness(lease) as other:
        gate = detour.proxy.hold(Direction.DOWNSTREAM, when=b"INSERT 0 1")
        running = asyncio.create_task(connection.execute("insert into notes values ('held')"))
        assert await gate.held(deadline_s=LONG_S)
        assert await other.fetchval("select text from notes") == "held"
        await asyncio.wait([running], timeout=SHORT_S)
        assert not running.done()
        gate.release()
        assert await asyncio.wait_for(running, LONG_S) == "INSERT 0 1"
        assert gate.verdict().valid


@pytest.mark.parametrize(
    ("direction", "pattern", "committed"),
    [(Direction.UPSTREAM, b"commit", 0), (Direction.DOWNSTREAM, b"COMMIT", 1)],
)
@asynchronous
async def test_a_lost_commit_is_ambiguous(
    lease: Lease, direction: Direction, pattern: bytes, committed: int
) -> None:
    """The client gets the same error, whether the request or its reply was lost."""
    async with to_postgres(lease) as (detour, connection), witness(lease) as other:
        await connection.execute("begin")
        await connection.execute("insert into notes values ('ambiguous')")
        gate = detour.proxy.hold(direction, when=pattern)
        running = asyncio.create_task(connection.execute("commit"))
        assert await gate.held(deadline_s=LONG_S)
        assert (await detour.proxy.cut()).valid
        with pytest.raises((asyncpg.ConnectionDoesNotExistError, ConnectionError)):
            await asyncio.wait_for(running, LONG_S)
        assert await other.fetchval("select count(*) from notes") == committed


@asynchronous
async def test_asyncpg_feels_a_reset(lease: Lease) -> None:
    """It is an error of the connection; a new one works when the toxic is gone."""
    async with to_postgres(lease) as (detour, connection):
        toxic = detour.proxy.add(ResetPeer(), Direction.DOWNSTREAM)
        with pytest.raises((asyncpg.ConnectionDoesNotExistError, ConnectionError)):
            await asyncio.wait_for(connection.fetchval("select 1"), LONG_S)
        assert toxic.verdict().valid
        detour.proxy.remove(toxic)
        again = await asyncpg.connect(detour.url.reveal())
        assert await again.fetchval("select 1") == 1
        await again.close()


@asynchronous
async def test_asyncpg_feels_a_reply_that_is_cut_off(lease: Lease) -> None:
    """A connection that closes in the middle of the rows is not a short result."""
    async with to_postgres(lease) as (detour, connection):
        toxic = detour.proxy.add(LimitData(10_000), Direction.DOWNSTREAM)
        rows = connection.fetch("select * from generate_series(1, 100000)")
        with pytest.raises((asyncpg.ConnectionDoesNotExistError, ConnectionError)):
            await asyncio.wait_for(rows, LONG_S)
        assert toxic.affected_bytes == 10_000


@asynchronous
async def test_a_reply_of_redis_is_held_until_it_is_released(lease: Lease) -> None:
    """Of two clients of one server, the one whose reply is held waits alone."""
    key = f"{lease.redis_prefix}held"
    async with to_redis(lease) as (detour, client):
        await client.set(key, "canary")
        gate = detour.proxy.hold(Direction.DOWNSTREAM, when=b"canary")
        asked = detour.proxy.tap(Direction.UPSTREAM, key.encode())
        running = asyncio.ensure_future(client.get(key))
        assert await asked.seen(deadline_s=LONG_S)
        assert await gate.held(deadline_s=LONG_S)
        assert await client.exists(key) == 1
        assert not running.done()
        gate.release()
        assert await asyncio.wait_for(running, LONG_S) == b"canary"


@asynchronous
async def test_redis_feels_a_cut(lease: Lease) -> None:
    """A command that waits ends in an error; the next one gets a new connection."""
    key = f"{lease.redis_prefix}list"
    async with to_redis(lease) as (detour, client):
        sent = detour.proxy.tap(Direction.UPSTREAM, key.encode())
        waiting = asyncio.ensure_future(client.blpop([key], timeout=0))
        assert await sent.seen(deadline_s=LONG_S)
        assert (await detour.proxy.cut()).valid
        with pytest.raises(redis_exceptions.ConnectionError):
            await asyncio.wait_for(waiting, LONG_S)
        assert await client.ping()


@asynchronous
async def test_redis_feels_silence(lease: Lease) -> None:
    """The command was applied, and its reply never comes; nobody tells the client."""
    key = f"{lease.redis_prefix}counter"
    async with to_redis(lease) as (detour, client):
        await client.ping()
        silence = detour.proxy.add(Timeout(0), Direction.DOWNSTREAM)
        running = asyncio.ensure_future(client.incr(key))
        assert await silence.applied(deadline_s=LONG_S)
        await asyncio.wait([running], timeout=SHORT_S)
        assert not running.done()
        detour.proxy.remove(silence)
        with pytest.raises(redis_exceptions.ConnectionError):
            await asyncio.wait_for(running, LONG_S)
        assert await client.get(key) == b"1"


@asynchronous
async def test_a_detour_leads_to_an_address_or_to_a_unix_socket() -> None:
    """Only the address changes; the rest of the URL stays."""
    with TemporaryDirectory(prefix="labkit") as folder:
        socket_url = f"postgresql://me:pw@/db?host={folder}&port=77&sslmode=require"
        redis_url = f"unix://me:pw@{folder}/.s.PGSQL.77?db=3"
        async with served_at(f"{folder}/.s.PGSQL.77"), served() as port:
            await leads(Secret(socket_url), tls="disable")
            await leads(Secret(f"postgresql://me:pw@127.0.0.1:{port}/db"), tls="disable")
            asks = f"postgresql://me:pw@127.0.0.1:{port}/db?sslmode=require"
            await leads(Secret(asks), tls="require")
            for url in (redis_url, f"redis://me:pw@127.0.0.1:{port}/3"):
                async with redis_detour(Secret(url), random=Random(1)) as detour:
                    parts = RedisUrl.parse(detour.url.reveal())
                    assert (parts.user, parts.password, parts.database) == ("me", "pw", 3)
                    await echoes(detour, parts.address)


async def leads(url: Secret, *, tls: str) -> None:
    """A detour for a PostgreSQL URL keeps its login and reaches the echoing server."""
    async with postgres_detour(url, random=Random(1)) as detour:
        parts = PostgresUrl.parse(detour.url.reveal())
        assert (parts.user, parts.password, parts.database) == ("me", "pw", "db")
        assert parts.options == (("sslmode", tls),)
        await echoes(detour, parts.address)


async def echoes(detour: Detour, address: str) -> None:
    """The address is the proxy's, and the server behind it is the echoing one."""
    assert address == f"{detour.proxy.host}:{detour.proxy.port}"
    async with client_of(detour.proxy) as client:
        assert await client.asks(b"hello") == b"hello"


@pytest.mark.parametrize("url", ["postgresql:///db", "postgresql://one,two/db"])
@asynchronous
async def test_a_detour_needs_one_host(url: str) -> None:
    """None is the driver's own guess, and of several the driver chooses."""
    with pytest.raises(UsageError, match="needs one host"):
        async with postgres_detour(Secret(url), random=Random(1)):
            pass
