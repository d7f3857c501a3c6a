"""Texts that the platform keeps for a user for a time, in Redis."""

from __future__ import annotations

from typing import Final

from labkit.errors import Rejected
from labkit.reference.cache.keyspace import KeySpace, Kind
from labkit.reference.cache.redis_client import RedisClient, keys_below, redis_refusals, run_script
from labkit.reference.data.contexts import UserContext

_INCREMENT: Final = """
    redis.call('set', KEYS[1], '0', 'NX', 'PX', ARGV[1])
    local count = redis.call('incr', KEYS[1])
    redis.call('pexpire', KEYS[1], ARGV[1])
    return count
"""
"""Begins with the end, whose refusal by Redis thus leaves everything as it was."""

_LONGEST_MS: Final = 365 * 24 * 60 * 60 * 1000
"""Far below what Redis can count."""


class UserTexts:
    """Texts under each user's own keys, none of them without a time to live.

    Every method raises `Rejected` for an id that no user can have, and for a time that is no whole
    number from 1 ms to a year. Without Redis it is `ServiceUnavailable`; whether a text was
    written or a counter increased is then unknown, since nothing is sent twice.
    """

    def __init__(self, redis: RedisClient, keys: KeySpace) -> None:
        self._redis = redis
        self._keys = keys

    async def read(self, user: str, key: str) -> str | None:
        """The text under the key, or None when there is none or it has expired.

        Raises `Rejected` for what somebody else put there and is no text.
        """
        with redis_refusals(f"read {key!r:.120} of user {user!r}"):
            text = await self._redis.get(self._key(user, key))
        return None if text is None else str(text)

    async def write(self, user: str, key: str, value: str, *, ttl_ms: int) -> None:
        """Keep a text for a time, in milliseconds, which replaces any time that was left."""
        with redis_refusals(f"write {key!r:.120} of user {user!r}"):
            await self._redis.set(self._key(user, key), value, px=_checked(ttl_ms))

    async def ttl_ms(self, user: str, key: str) -> int | None:
        """How long the text will be kept, in milliseconds, or None when there is none."""
        with redis_refusals(f"look at {key!r:.120} of user {user!r}"):
            left_ms = int(await self._redis.pttl(self._key(user, key)))
        return left_ms if left_ms >= 0 else None

    async def extend(self, user: str, key: str, *, ttl_ms: int) -> bool:
        """Keep a text for a new time from now on; False when there is none, which stays so."""
        with redis_refusals(f"extend {key!r:.120} of user {user!r}"):
            return bool(await self._redis.pexpire(self._key(user, key), _checked(ttl_ms)))

    async def increment(self, user: str, key: str, *, ttl_ms: int) -> int:
        """Add one to a counter, which begins at 0, exactly once; the new value.

        Raises `Rejected` when what is under the key is no counter.
        """
        with redis_refusals(f"count {key!r:.120} of user {user!r}"):
            place = self._key(user, key)
            return int(await run_script(self._redis, _INCREMENT, place, _checked(ttl_ms)))

    async def invalidate(self, user: str, key: str) -> bool:
        """Forget one key; whether there was something to forget."""
        with redis_refusals(f"forget {key!r:.120} of user {user!r}"):
            return bool(await self._redis.unlink(self._key(user, key)))

    async def invalidate_all(self, user: str) -> int:
        """Forget all texts of the user, and nothing of another; how many there were."""
        forgotten = 0
        with redis_refusals(f"forget all that is cached for user {user!r}"):
            async for keys in keys_below(self._redis, self._below(user)):
                forgotten += int(await self._redis.unlink(*keys))
        return forgotten

    def prefix(self, user: str) -> str:
        """What all of the user's keys in the leased Redis start with, for the witness."""
        return self._keys.of_user(user)

    def _key(self, user: str, key: str) -> str:
        return self._keys.named(UserContext(user).user, Kind.CACHE, key)

    def _below(self, user: str) -> str:
        return self._keys.of_kind(UserContext(user).user, Kind.CACHE)


def _checked(ttl_ms: int) -> int:
    if type(ttl_ms) is not int or not 1 <= ttl_ms <= _LONGEST_MS:
        raise Rejected(
            f"a text cannot be kept for {ttl_ms!r} ms: give a whole number from 1 to "
            f"{_LONGEST_MS}, which is a year"
        )
    return ttl_ms
