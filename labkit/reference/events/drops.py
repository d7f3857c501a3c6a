"""Remembers for a while which connections were dropped, so that their clients can be told."""

from __future__ import annotations

from typing import Final

from labkit.reference.cache.keyspace import KeySpace, Kind
from labkit.reference.cache.redis_client import RedisClient, redis_refusals

KEPT_MS: Final = 600_000
"""How long it is remembered, in milliseconds."""


class Drops:
    """Connections that were dropped as too slow, each under its own user's keys.

    Both methods raise `ServiceUnavailable` when Redis cannot be reached.
    """

    def __init__(self, redis: RedisClient, keys: KeySpace, *, kept_ms: int = KEPT_MS) -> None:
        self._redis = redis
        self._keys = keys
        self._kept_ms = kept_ms

    async def remember(self, user: str, connection: str) -> None:
        """Note that a connection of the user was dropped."""
        with redis_refusals("remember a dropped connection"):
            await self._redis.set(self._key(user, connection), "1", px=self._kept_ms)

    async def was_dropped(self, user: str, connection: str) -> bool:
        """Whether a connection of this user was dropped; another's is unknown."""
        with redis_refusals("look for a dropped connection"):
            return bool(await self._redis.exists(self._key(user, connection)))

    def _key(self, user: str, connection: str) -> str:
        return self._keys.named(user, Kind.DROPPED, connection)
