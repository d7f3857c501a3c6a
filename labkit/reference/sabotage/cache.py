"""Platforms whose cache has one faulty part."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from redis import exceptions
from redis.asyncio.connection import AbstractConnection

from labkit.reference.cache.entries import TitleEntries
from labkit.reference.cache.keyspace import KeySpace, Kind
from labkit.reference.cache.redis_client import RedisClient, redis_refusals
from labkit.reference.cache.titles import Titles
from labkit.reference.cache.user_cache import UserCache
from labkit.reference.platform import Parts, Platform
from labkit.sabotage import Sabotage

_AREA: Final = "redis_cache"
_SYNCHRONIZATION: Final = "cache_database_synchronization"
_NAMES: Final = "user_cache_isolation_and_namespacing"
_TIMES: Final = "cache_ttl_and_invalidation_patterns"
_AT_ONCE: Final = "concurrent_cache_operations_thread_safety"

_EVERYBODY: Final = "all"


class _CommonTexts(UserCache):
    def _key(self, _user: str, key: str) -> str:
        return super()._key(_EVERYBODY, key)

    def _below(self, _user: str) -> str:
        return super()._below(_EVERYBODY)


class _CommonTitles(TitleEntries):
    def _key(self, _user: str, thread: str) -> str:
        return super()._key(_EVERYBODY, thread)


class KeysWithoutTheUser(Platform):
    """A key is made of its name alone, of texts and of titles."""

    parts = Parts(cache=_CommonTexts, title_entries=_CommonTitles)


class _Unescaped(KeySpace):
    def of_user(self, user: str) -> str:
        return f"{self.prefix}user:{user}:"

    def of_kind(self, user: str, kind: Kind) -> str:
        return self.of_user(user) if kind is Kind.CACHE else f"{self.of_user(user)}{kind}:"

    def named(self, user: str, kind: Kind, name: str) -> str:
        return f"{self.of_kind(user, kind)}{name}"


class KeysUnescaped(Platform):
    """A key is `user:<user>:<key>`, whatever characters these have."""

    parts = Parts(keyspace=_Unescaped)


class _Overwriting(UserCache):
    async def write(self, user: str, key: str, value: str, *, ttl_ms: int) -> None:
        if await self.read(user, key) is None:
            await super().write(user, key, value, ttl_ms=ttl_ms)
        else:
            await self._redis.set(self._key(user, key), value)


class ForgetsTheTimeOnRewrite(Platform):
    """A text that is written over is kept for ever."""

    parts = Parts(cache=_Overwriting)


class _Generous(UserCache):
    def _below(self, user: str) -> str:
        return self._keys.of_user(user).removesuffix(":")


class ForgetsWhoeverBeginsAlike(Platform):
    """Forgetting all of `ann` forgets all of `anna` too: the pattern lacks its separator."""

    parts = Parts(cache=_Generous)


class _Sweeping(UserCache):
    def _below(self, user: str) -> str:
        return self._keys.of_user(user).partition("user:")[0]


class ForgetsEverybody(Platform):
    """Forgetting all of a user forgets all of everybody."""

    parts = Parts(cache=_Sweeping)


class _Reviving(UserCache):
    def __init__(self, redis: RedisClient, keys: KeySpace, titles: Titles) -> None:
        super().__init__(redis, keys, titles)
        self._written: dict[tuple[str, str], str] = {}

    async def write(self, user: str, key: str, value: str, *, ttl_ms: int) -> None:
        await super().write(user, key, value, ttl_ms=ttl_ms)
        self._written[user, key] = value

    async def extend(self, user: str, key: str, *, ttl_ms: int) -> bool:
        await self.write(user, key, self._written.get((user, key), ""), ttl_ms=ttl_ms)
        return True


class RevivesWhatHasExpired(Platform):
    """A text is extended by writing it again, whether or not it is still there."""

    parts = Parts(cache=_Reviving)


class _Racing(UserCache):
    async def increment(self, user: str, key: str, *, ttl_ms: int) -> int:
        count = int(await self.read(user, key) or 0) + 1
        await self.write(user, key, str(count), ttl_ms=ttl_ms)
        return count


class CountsByGetThenSet(Platform):
    """A counter is read, and then written with one more."""

    parts = Parts(cache=_Racing)


class _Unreset(RedisClient):
    async def parse_response(
        self, connection: AbstractConnection, command_name: str | bytes, **options: Any
    ) -> Any:
        response = await connection.read_response(disconnect_on_error=False)
        understand = self.response_callbacks.get(command_name)
        return understand(response, **options) if understand else response


class HandsOnUnansweredConnections(Platform):
    """A cancelled command gives its connection back as if no answer were under way.

    So did redis-py until 4.5.3 (CVE-2023-28858, CVE-2023-28859).
    """

    parts = Parts(redis=_Unreset)


class _Insistent(RedisClient):
    async def execute_command(self, *arguments: Any, **options: Any) -> Any:
        send: Callable[..., Awaitable[Any]] = super().execute_command
        try:
            return await send(*arguments, **options)
        except (exceptions.ConnectionError, exceptions.TimeoutError):
            return await send(*arguments, **options)


class RepeatsUnansweredCommands(Platform):
    """A command without an answer is sent once more, though it may have been applied.

    So does redis-py by default since version 6.
    """

    parts = Parts(redis=_Insistent)


class _Hesitant(UserCache):
    async def invalidate(self, user: str, key: str) -> bool:
        with redis_refusals(f"forget {key!r:.120}"):
            return bool(await self._redis.persist(self._key(user, key)))


class ForgetsNothing(Platform):
    """Forgetting one text leaves it there, without an end, and says that it is gone."""

    parts = Parts(cache=_Hesitant)


class _Remembering(UserCache):
    def __init__(self, redis: RedisClient, keys: KeySpace, titles: Titles) -> None:
        super().__init__(redis, keys, titles)
        self._known: dict[tuple[str, str], str] = {}

    async def read(self, user: str, key: str) -> str | None:
        found = self._known.get((user, key)) or await super().read(user, key)
        return None if found is None else self._known.setdefault((user, key), found)


class RemembersInTheProcess(Platform):
    """Each process keeps what it has read, whatever others write."""

    parts = Parts(cache=_Remembering)


class _TwoSteps(UserCache):
    async def increment(self, user: str, key: str, *, ttl_ms: int) -> int:
        with redis_refusals(f"count {key!r:.120}"):
            count = int(await self._redis.incr(self._key(user, key)))
            await self._redis.pexpire(self._key(user, key), ttl_ms)
        return count


class CountsThenExpires(Platform):
    """A counter is increased by one command, and given its time by a second one."""

    parts = Parts(cache=_TwoSteps)


SABOTAGES: Final[tuple[Sabotage, ...]] = (
    Sabotage.of(
        KeysWithoutTheUser,
        "cache-key-without-user",
        area=_AREA,
        promise="A cached value is its user's own.",
        stands_for="Cache keys without the user: other people's pages out of a shared cache.",
        must={_SYNCHRONIZATION: "foreign-title-read", _NAMES: "outside-its-prefix"},
        may=(_TIMES,),
    ),
    Sabotage.of(
        KeysUnescaped,
        "separator-unescaped",
        area=_AREA,
        promise="No two pairs of a user and a key meet in one key.",
        stands_for="Keys joined with a separator that an id may hold.",
        must={_NAMES: "keys-collide"},
    ),
    Sabotage.of(
        ForgetsTheTimeOnRewrite,
        "ttl-lost-on-rewrite",
        area=_AREA,
        promise="A rewrite does not take a key's time away.",
        stands_for="A plain SET, which takes a key's expiry away.",
        must=dict.fromkeys((_TIMES, _AT_ONCE), "no-expiry"),
    ),
    Sabotage.of(
        ForgetsWhoeverBeginsAlike,
        "pattern-without-separator",
        area=_AREA,
        promise="Forgetting a user forgets nobody whose id begins alike.",
        stands_for="A prefix that matches user1 and user10.",
        must={_TIMES: "foreign-key-forgotten"},
    ),
    Sabotage.of(
        ForgetsEverybody,
        "pattern-too-wide",
        area=_AREA,
        promise="Forgetting a user forgets exactly that user's keys.",
        stands_for="A flush of everything, where one user's keys were meant.",
        must=dict.fromkeys((_NAMES, _TIMES), "foreign-key-forgotten"),
    ),
    Sabotage.of(
        RevivesWhatHasExpired,
        "expired-key-revived",
        area=_AREA,
        promise="What has expired stays so.",
        stands_for="A session that is kept alive after it has timed out.",
        must={_TIMES: "revived"},
    ),
    Sabotage.of(
        ForgetsNothing,
        "text-not-forgotten",
        area=_AREA,
        promise="What was forgotten is gone.",
        stands_for="An invalidation that answers, and does nothing.",
        must={_TIMES: "key-left"},
    ),
    Sabotage.of(
        RemembersInTheProcess,
        "local-copy",
        area=_AREA,
        promise="What one process writes, every other reads.",
        stands_for="A dictionary in front of the shared cache, which nobody invalidates.",
        must={_AT_ONCE: "stale-text"},
    ),
    Sabotage.of(
        CountsThenExpires,
        "expiry-in-a-second-command",
        area=_AREA,
        promise="A counter has its end from the first increment on.",
        stands_for="INCR and EXPIRE as two commands, and a process that dies in between.",
        must={_AT_ONCE: "no-expiry"},
    ),
    Sabotage.of(
        CountsByGetThenSet,
        "get-then-set",
        area=_AREA,
        promise="Every increment counts once.",
        stands_for="Lost updates: read, compute, write.",
        must={_AT_ONCE: "lost-update"},
    ),
    Sabotage.of(
        HandsOnUnansweredConnections,
        "cancelled-connection-handed-on",
        area=_AREA,
        promise="A reply reaches who asked, and nobody else.",
        stands_for="Other people's chats in ChatGPT, March 2023: CVE-2023-28858 and -28859.",
        must={_AT_ONCE: "foreign-reply"},
    ),
    Sabotage.of(
        RepeatsUnansweredCommands,
        "blind-retry",
        area=_AREA,
        promise="One call is applied once.",
        stands_for="The default of redis-py since version 6; redis-py #261 and #977.",
        must={_AT_ONCE: "applied-twice"},
    ),
)
