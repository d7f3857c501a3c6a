"""What every process of the platform works with, put together from its parts."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Self

from labkit.reference.cache.keyspace import KeySpace
from labkit.reference.cache.redis_client import RedisClient, redis_client
from labkit.reference.cache.user_cache import UserCache
from labkit.reference.data.history import History
from labkit.reference.data.pool import Pool
from labkit.reference.data.store import Store
from labkit.reference.execution.executions import Executions
from labkit.reference.parts import Parts
from labkit.reference.routing.quality import Quality
from labkit.services.endpoints import Lease


@dataclass(frozen=True)
class Assembly:
    """The parts, put together for one lease; inside `async with` they are open."""

    pool: Pool
    redis: RedisClient
    keys: KeySpace
    store: Store
    executions: Executions
    history: History
    cache: UserCache
    quality: Quality

    async def __aenter__(self) -> Self:
        await self.pool.open()
        return self

    async def __aexit__(self, *exception: object) -> None:
        try:
            await self.pool.close()
        finally:
            await self.redis.aclose()


def assemble(lease: Lease, parts: Parts) -> Assembly:
    """Put the parts together; nothing is opened yet."""
    pool = parts.pool(lease.platform_url)
    redis = redis_client(lease.redis_url, client=parts.redis)
    keys = parts.keyspace(lease.redis_prefix)
    entries = parts.title_entries(redis, keys)
    changes = parts.invalidation(entries)
    store = parts.store(pool, Random(lease.id), parts.transactions, changes=changes)
    return Assembly(
        pool=pool,
        redis=redis,
        keys=keys,
        store=store,
        executions=parts.executions(store),
        history=parts.history(store),
        cache=parts.cache(redis, keys, parts.titles(store, entries)),
        quality=parts.quality(store, parts.outbox(), redis, keys, parts.clock()),
    )
