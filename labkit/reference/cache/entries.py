"""The steps by which a thread's title gets into Redis and out of it, so that none there is stale.

Each title has one key, and each step is one script on that key. In it stands one of three things:

- a *value*, which a reader takes;
- a reader's *lease*: who found nothing leaves a token there, asks the database, and puts the value
  in the token's place, if that is still there. Nothing is filled without a lease;
- a writer's *intent*: who changes the row puts a token there before committing, in place of
  whatever there was, and takes it away afterwards. Readers pass it by, to the database.

So a value older than a commit is never left behind by it. Its reader took the lease before the
intent was put, which removed the lease, or after it was removed, and then read the new row. Leases
are those of Nishtala et al., "Scaling Memcache at Facebook", NSDI 2013, section 3.2.1, where only
a deletion after the commit revokes them; the intent adds that a writer may die before that.

- Two writers: the intent is put while the row is locked, so the second puts its own only after the
  first has committed. It protects both; the first leaves it there, since it removes no other's.
  The price is that a writer keeps its row, and a connection, while Redis answers: a bounded time.
- A writer that dies after its commit, is cancelled there, or loses Redis leaves its intent. It
  expires by itself, and until then stands for the database.
- A writer that never learns whether it has committed prolongs its intent to `doubt_ms`, since a
  commit that the server received may stall there and go through later. Whoever changes the row next
  puts an own intent in its place: the row was free by then, so nothing was in doubt any more.
- An intent that expires before the commit leaves the old value to be filled. A writer lives to
  prolong it, for `intent_ms` is longer than all that it waits for; a living one that gets its
  commit late removes the value afterwards. All this costs is reads of the database.
- Without Redis a writer refuses before it commits: a value that it cannot withdraw would be stale.

Not promised: anything where a commit goes through more than `doubt_ms` after its writer was given
no answer, or more than `intent_ms` after a writer that died or could not reach Redis meanwhile;
where Redis forgets a write that it acknowledged (a restart from an older snapshot, a failover to a
replica that lags, keys that it evicts); or where a row is changed by SQL of one's own. What is
stale then is so for `title_ms` at most, and a session refuses what is older than it has seen.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any, Final

from labkit.errors import Rejected
from labkit.reference.cache.keyspace import KeySpace, Kind
from labkit.reference.cache.redis_client import RedisClient, keys_below, redis_refusals, run_script

_LOOK: Final = """
    local value = redis.call('hmget', KEYS[1], 'title', 'version')
    if value[1] then return value end
    if redis.call('exists', KEYS[1]) == 1 then return {} end
    redis.call('hset', KEYS[1], 'lease', ARGV[1])
    redis.call('pexpire', KEYS[1], ARGV[2])
    return {ARGV[1]}
"""

_FILL: Final = """
    if redis.call('hget', KEYS[1], 'lease') ~= ARGV[1] then return 0 end
    redis.call('del', KEYS[1])
    redis.call('hset', KEYS[1], 'title', ARGV[2], 'version', ARGV[3])
    redis.call('pexpire', KEYS[1], ARGV[4])
    return 1
"""

_MARK: Final = """
    redis.call('del', KEYS[1])
    redis.call('hset', KEYS[1], 'intent', ARGV[1])
    redis.call('pexpire', KEYS[1], ARGV[2])
    return 1
"""

_CLEAR: Final = """
    local intent = redis.call('hget', KEYS[1], 'intent')
    if intent and intent ~= ARGV[1] then return 0 end
    return redis.call('del', KEYS[1])
"""

_PROLONG: Final = """
    if redis.call('hget', KEYS[1], 'intent') ~= ARGV[1] then return 0 end
    return redis.call('pexpire', KEYS[1], ARGV[2])
"""

_NOBODY: Final = ""
"""No writer's token."""

_TOKEN_BYTES: Final = 16


@dataclass(frozen=True)
class TitleTimes:
    """How long things are kept in Redis, in milliseconds."""

    title_ms: int = 60_000
    lease_ms: int = 5_000
    """A reader that takes longer fills nothing."""
    intent_ms: int = 60_000
    """More than all waits of a writer until it has prolonged its intent may take together."""
    doubt_ms: int = 600_000
    """How long a commit may stall of which nobody knows whether it goes through."""


@dataclass(frozen=True)
class VersionedTitle:
    """A title and its row's version, which each change of the row makes higher."""

    title: str
    version: int


@dataclass(frozen=True)
class Look:
    """What a reader found: a value, or a lease to fill one, or neither."""

    value: VersionedTitle | None = None
    lease: str | None = None


class TitleEntries:
    """The keys of cached titles, each user's own; their callers are readers and writers of rows.

    Raises `ServiceUnavailable` without Redis, and `Rejected` for what Redis objects to.
    """

    def __init__(self, redis: RedisClient, keys: KeySpace, times: TitleTimes | None = None) -> None:
        self._redis = redis
        self._keys = keys
        self._times = times or TitleTimes()

    async def look(self, user: str, thread: str) -> Look:
        """A reader's first step: the value, or, where nothing stands, a lease.

        Raises `Rejected` for a title that nobody of the platform's put there: one without a
        version, or no text.
        """
        token = _token()
        with redis_refusals(f"look for the title of thread {thread!r:.120} of user {user!r}"):
            match await self._run(_LOOK, user, thread, token, self._times.lease_ms):
                case [title, version]:
                    return Look(value=_versioned(title, version))
                case [_]:
                    return Look(lease=token)
                case _:
                    return Look()

    async def fill(self, user: str, thread: str, lease: str, value: VersionedTitle) -> bool:
        """A reader's last step: put the value in its lease's place; False when that is gone."""
        with redis_refusals(f"keep the title of thread {thread!r:.120} of user {user!r}"):
            arguments = (lease, value.title, value.version, self._times.title_ms)
            return bool(await self._run(_FILL, user, thread, *arguments))

    async def mark(self, user: str, thread: str) -> str:
        """A writer's step before it commits: its intent, in place of whatever there was.

        Returns the intent's token. The row must be locked by then, and stay so until the commit.
        """
        token = _token()
        with redis_refusals(f"withdraw the title of thread {thread!r:.120} of user {user!r}"):
            await self._run(_MARK, user, thread, token, self._times.intent_ms)
        return token

    async def prolong(self, user: str, thread: str, intent: str) -> bool:
        """Let the intent stand for a commit in doubt; False where it is gone or another's stands.

        It is a writer's step after a commit that may have been applied, or may yet be.
        """
        with redis_refusals(f"keep out the title of thread {thread!r:.120} of user {user!r}"):
            return bool(await self._run(_PROLONG, user, thread, intent, self._times.doubt_ms))

    async def clear(self, user: str, thread: str, intent: str = _NOBODY) -> bool:
        """Remove what stands there, unless it is another writer's intent; whether it was removed.

        It is a writer's step after its commit, and removes values and leases whoever calls it.
        """
        with redis_refusals(f"forget the title of thread {thread!r:.120} of user {user!r}"):
            return bool(await self._run(_CLEAR, user, thread, intent))

    async def clear_all(self, user: str) -> int:
        """Remove everything of the user but writers' intents; how many keys it was."""
        cleared = 0
        with redis_refusals(f"forget all titles of user {user!r}"):
            async for keys in keys_below(self._redis, self._keys.of_kind(user, Kind.TITLES)):
                for key in keys:
                    cleared += int(await run_script(self._redis, _CLEAR, key, _NOBODY))
        return cleared

    async def _run(self, script: str, user: str, thread: str, *arguments: str | int) -> Any:
        return await run_script(self._redis, script, self._key(user, thread), *arguments)

    def _key(self, user: str, thread: str) -> str:
        return self._keys.named(user, Kind.TITLES, thread)


def _versioned(title: str, version: str | None) -> VersionedTitle:
    if version is None or not version.isdecimal():
        raise Rejected(f"the title that is kept has no version, but {version!r:.120}: remove it")
    return VersionedTitle(title, int(version))


def _token() -> str:
    return secrets.token_hex(_TOKEN_BYTES)
