"""The platform's client sends each command once, and says what a server does not do."""

import asyncio
from contextlib import aclosing

import pytest
from redis import exceptions

from labkit.errors import Rejected, ServiceUnavailable
from labkit.redaction import Secret
from labkit.reference.cache.redis_client import (
    FairPool,
    RedisClient,
    keys_below,
    redis_client,
    redis_refusals,
    run_script,
)
from labkit.services.endpoints import Lease
from tests.reference.stage import asynchronous


@asynchronous
async def test_a_command_without_an_answer_is_not_sent_again() -> None:
    """The server takes a command and hangs up: it may have been applied, so once is all."""
    taken: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await reader.read(4096):
            if b"INCR" in request:
                taken.append(request)
                break
            writer.write(b"+OK\r\n" * request.count(b"*"))
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, aclosing(redis_client(Secret(f"redis://127.0.0.1:{port}/0"))) as redis:
        with pytest.raises(ServiceUnavailable, match="cannot count: "), redis_refusals("count"):
            await redis.incr("counter")
    assert len(taken) == 1


@asynchronous
async def test_a_server_that_is_not_there_is_said_to_be_so() -> None:
    """Nobody listens: that is a service that is unavailable, not an error of the driver's."""
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    async with aclosing(redis_client(Secret(f"redis://127.0.0.1:{port}/0"))) as redis:
        with pytest.raises(ServiceUnavailable, match="cannot look: "), redis_refusals("look"):
            await redis.get("anything")


@asynchronous
async def test_connections_are_bounded(lease: Lease) -> None:
    """More commands at once than connections wait for one another, and all are done."""
    async with aclosing(redis_client(lease.redis_url, connections=2)) as redis:
        ids = await asyncio.gather(*(redis.client_id() for _ in range(20)))
        assert len(ids) == 20
        assert len(set(ids)) <= 2


@asynchronous
async def test_nobody_is_overtaken_in_the_wait_for_a_connection(lease: Lease) -> None:
    """Five who ask again and again share one connection in turns."""
    served: list[int] = []

    async def ask(redis: RedisClient, number: int) -> None:
        for _ in range(10):
            await redis.client_id()
            served.append(number)

    async with aclosing(redis_client(lease.redis_url, connections=1)) as redis:
        await asyncio.gather(*(ask(redis, number) for number in range(5)))
    assert served == [*range(5)] * 10


@asynchronous
async def test_who_gives_up_waiting_holds_up_nobody(lease: Lease) -> None:
    """A wait that is cancelled, and one for a server that is gone, take no connection with them."""
    pool: FairPool = FairPool.from_url(lease.redis_url.reveal(), max_connections=1, wait_s=5)
    async with aclosing(pool):
        connection = await pool.get_connection()
        waiting = asyncio.create_task(pool.get_connection())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        await pool.release(connection)
        assert await pool.get_connection() is connection
    async with aclosing(redis_client(Secret("redis://127.0.0.1:1/0"), connections=1)) as nowhere:
        for _ in range(3):
            with pytest.raises(exceptions.ConnectionError, match="connecting to"):
                await nowhere.client_id()


@asynchronous
async def test_a_connection_that_never_becomes_free_is_said_to_be_so(lease: Lease) -> None:
    """Who waits too long is told for how long, and of how many connections."""
    pool: FairPool = FairPool.from_url(lease.redis_url.reveal(), max_connections=1, wait_s=0.05)
    async with aclosing(pool):
        await pool.get_connection()
        with pytest.raises(exceptions.ConnectionError, match=r"none of 1 connections .* in 0.05 s"):
            await pool.get_connection()


@asynchronous
async def test_a_script_is_applied_as_a_whole(lease: Lease) -> None:
    """It gets its key and its arguments, and what the server objects to is rejected."""
    key = f"{lease.redis_prefix}list"
    script = "redis.call('rpush', KEYS[1], ARGV[1], ARGV[2]) return redis.call('llen', KEYS[1])"
    async with aclosing(redis_client(lease.redis_url)) as redis:
        assert await run_script(redis, script, key, "a", 2) == 2
        with pytest.raises(Rejected, match="cannot count: "), redis_refusals("count"):
            await run_script(redis, "return redis.call('incr', KEYS[1])", key)


REFUSE = "return redis.error_reply(ARGV[1])"
"""A script that has the server refuse with these words."""


@pytest.mark.parametrize(
    "words",
    [
        "NOREPLICAS Not enough good replicas to write.",
        "READONLY You can't write against a read only replica.",
        "MISCONF Redis is configured to save RDB snapshots, but it cannot",
        "OOM command not allowed when used memory > 'maxmemory'.",
        "LOADING Redis is loading the dataset in memory",
        "BUSY Redis is busy running a script.",
        "CLUSTERDOWN The cluster is down",
        "MASTERDOWN Link with MASTER is down",
    ],
)
@asynchronous
async def test_what_a_servers_state_refuses_is_unavailable(lease: Lease, words: str) -> None:
    """The command was none to object to: the same one is taken when the state has passed."""
    async with aclosing(redis_client(lease.redis_url)) as redis:
        with pytest.raises(ServiceUnavailable, match="cannot write: "), redis_refusals("write"):
            await run_script(redis, REFUSE, f"{lease.redis_prefix}a", words)


@pytest.mark.parametrize(
    "words", ["NOPERM no permissions", "WRONGTYPE wrong kind", "ERR unknown command"]
)
@asynchronous
async def test_what_a_server_objects_to_is_rejected(lease: Lease, words: str) -> None:
    """It would be refused at any time."""
    async with aclosing(redis_client(lease.redis_url)) as redis:
        with pytest.raises(Rejected, match="cannot write: "), redis_refusals("write"):
            await run_script(redis, REFUSE, f"{lease.redis_prefix}a", words)


@asynchronous
async def test_what_is_no_text_is_rejected(lease: Lease) -> None:
    """Neither taken nor given; the client goes on after it and mixes up no answers."""
    key = f"{lease.redis_prefix}bytes"
    async with aclosing(redis_client(lease.redis_url, connections=1)) as redis:
        with pytest.raises(Rejected, match="cannot write: "), redis_refusals("write"):
            await redis.set(key, [])  # type: ignore[arg-type]
        await redis.rpush(key, b"\xff\xfe", "text")
        with pytest.raises(Rejected, match="cannot read: "), redis_refusals("read"):
            await redis.lrange(key, 0, -1)
        assert await redis.llen(key) == 2


@asynchronous
async def test_keys_below_a_prefix_are_found_by_scanning(lease: Lease) -> None:
    """All of them, whatever lies beside them; none where there are none."""
    async with aclosing(redis_client(lease.redis_url)) as redis:
        below = {f"{lease.redis_prefix}a:{number}" for number in range(1_200)}
        await redis.mset(dict.fromkeys([*below, f"{lease.redis_prefix}ab"], "x"))
        portions = [keys async for keys in keys_below(redis, f"{lease.redis_prefix}a:")]
        assert {key for keys in portions for key in keys} == below
        assert len(portions) > 1
        assert [keys async for keys in keys_below(redis, f"{lease.redis_prefix}c:")] == []


@asynchronous
async def test_another_class_of_client_can_be_had(lease: Lease) -> None:
    """It is the one that speaks to the server."""

    class Other(RedisClient):
        """Another client."""

    async with aclosing(redis_client(lease.redis_url, client=Other)) as redis:
        assert type(redis) is Other
        assert await redis.client_id()
