"""A client that gives connections back with a reply on the way is caught, and a good one is not."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from random import Random
from typing import TypeAlias

import pytest
from redis.asyncio import Redis

from labkit.detoured import detours
from labkit.faults.detours import redis_detour
from labkit.faults.proxy import TcpProxy
from labkit.ids import UserID
from labkit.judges.mixups import judge_mixup
from labkit.judges.verdict import Verdict
from labkit.mixups import mix_up_replies
from labkit.reference import Platform
from labkit.reference.cache.redis_client import CONNECTIONS
from labkit.services.endpoints import Lease
from labkit.services.urls import RedisUrl
from tests.faults.stage import SHORT_S
from tests.reference.stage import asynchronous

Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Read: TypeAlias = Callable[[str], Awaitable[str | None]]


def canaries(lease: Lease, count: int = 4) -> Mapping[str, str]:
    """Keys of the lease, each with a value of its own."""
    return {f"{lease.redis_prefix}key-{one}": f"canary-{one}-of-its-own" for one in range(count)}


@asynccontextmanager
async def filled(lease: Lease) -> AsyncIterator[tuple[TcpProxy, RedisUrl]]:
    """A way to the leased Redis by which nothing has come yet; the keys are there."""
    async with redis_detour(lease.redis_url, random=Random(1)) as detour:
        async with Redis.from_url(lease.redis_url.reveal()) as direct:
            await direct.mset(dict(canaries(lease)))
        yield detour.proxy, RedisUrl.parse(detour.url.reveal())


@asynccontextmanager
async def client_of(url: RedisUrl) -> AsyncIterator[Read]:
    """How redis-py reads, as it is installed."""
    async with Redis.from_url(url.secret.reveal(), decode_responses=True) as client:

        async def read(key: str) -> str | None:
            value = await client.get(key)
            return None if value is None else str(value)

        yield read


class CarelessPool:
    """Lends one connection after the other, and looks at none of them when it comes back."""

    def __init__(self, url: RedisUrl) -> None:
        self._url = url
        self._free: list[Streams] = []
        self._all: list[Streams] = []

    async def read(self, key: str) -> str | None:
        """What is under a key."""
        streams = self._free.pop() if self._free else await self._new()
        try:
            return await self._asked(streams, "GET", key)
        finally:
            self._free.append(streams)

    async def _new(self) -> Streams:
        streams = await asyncio.open_connection(self._url.host.name, self._url.host.port)
        self._all.append(streams)
        await self._asked(streams, "AUTH", self._url.user or "", self._url.password or "")
        return streams

    async def _asked(self, streams: Streams, *parts: str) -> str | None:
        reader, writer = streams
        sent = "".join(f"${len(part)}\r\n{part}\r\n" for part in parts)
        writer.write(f"*{len(parts)}\r\n{sent}".encode())
        head = (await reader.readline()).decode().strip()
        if not head.startswith("$"):
            return head
        return (await reader.readexactly(int(head[1:]) + 2)).decode().strip()

    def close(self) -> None:
        """End all connections."""
        for _, writer in self._all:
            writer.transport.abort()


async def judged(read: Read, proxy: TcpProxy, lease: Lease, **options: float) -> Verdict:
    """What is said of a client."""
    return judge_mixup(await mix_up_replies(read, proxy, canaries(lease), **options))


@asynchronous
async def test_a_careless_pool_is_caught(lease: Lease) -> None:
    """The next user of the connection is handed the cancelled request's reply."""
    async with filled(lease) as (proxy, url):
        pool = CarelessPool(url)
        verdict = await judged(pool.read, proxy, lease)
        pool.close()
    assert (verdict.valid, verdict.reason, verdict.count) == (False, "foreign-reply", 1)
    assert "canary-0-of-its-own" in verdict.first


@asynchronous
async def test_redis_py_as_installed_is_clean(lease: Lease) -> None:
    """It throws a connection away whose reply is still to come."""
    async with filled(lease) as (proxy, url), client_of(url) as read:
        verdict = await judged(read, proxy, lease)
    assert verdict.valid is True, verdict.detail


@asynchronous
async def test_the_platform_is_clean(lease: Lease) -> None:
    """By the seam, with as many others as it may have connections."""
    await Platform.install(lease)
    async with detours(lease, random=Random(1)) as ways, Platform(ways.lease) as target:
        user = UserID.new()
        keys = {f"key-{one:02}": f"canary-{one:02}" for one in range(CONNECTIONS + 1)}
        for key, value in keys.items():
            await target.cache.write(user, key, value, ttl_ms=60_000)
        read = functools.partial(target.cache.read, user)
        verdict = judge_mixup(await mix_up_replies(read, ways.redis, keys))
    assert verdict.valid is True, verdict.detail
    assert verdict.detail.startswith(f"{CONNECTIONS} requests")


@asynchronous
async def test_a_reply_that_is_not_held_proves_nothing(lease: Lease) -> None:
    """A client that does not come by the proxy is not judged."""
    direct = RedisUrl.parse(lease.redis_url.reveal())
    async with filled(lease) as (proxy, _), client_of(direct) as read:
        verdict = await judged(read, proxy, lease, step_s=SHORT_S)
    assert (verdict.valid, verdict.reason) == (None, "fault-not-applied")
    assert "was never held" in verdict.detail


@asynchronous
async def test_somebody_who_does_not_ask_proves_nothing(lease: Lease) -> None:
    """Those who come next must all have asked before the reply arrives."""
    async with filled(lease) as (proxy, url), client_of(url) as read:

        async def remembering(key: str) -> str | None:
            return "canary-2-of-its-own" if key.endswith("key-2") else await read(key)

        verdict = await judged(remembering, proxy, lease, step_s=SHORT_S)
    assert (verdict.valid, verdict.reason) == (None, "fault-not-applied")
    assert "key-2 did not pass before the reply" in verdict.detail


@asynchronous
async def test_a_request_that_cannot_be_cancelled_proves_nothing(lease: Lease) -> None:
    """It goes on until it has its reply; nothing is left running."""
    async with filled(lease) as (proxy, url), client_of(url) as read:

        async def stubborn(key: str) -> str | None:
            reading = asyncio.ensure_future(read(key))
            while not reading.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.shield(reading)
            return reading.result()

        verdict = await judged(stubborn, proxy, lease, step_s=2)  # its reply must be held by then
    assert (verdict.valid, verdict.reason) == (None, "fault-not-applied")
    assert "not ended by its cancellation" in verdict.detail


@pytest.mark.parametrize("fails", [True, False])
@asynchronous
async def test_a_client_that_fails_the_next_user_is_caught(lease: Lease, *, fails: bool) -> None:
    """By an error or by nothing: the cancellation was not one's own."""
    async with filled(lease) as (proxy, url), client_of(url) as read:

        async def failing(key: str) -> str | None:
            value = await read(key)
            if fails and key.endswith("key-2"):
                raise RuntimeError("another coroutine is already waiting for incoming data")
            return None if key.endswith("key-2") else value

        verdict = await judged(failing, proxy, lease)
    assert (verdict.valid, verdict.reason, verdict.count) == (False, "lost-reply", 1)
