"""Platforms with one faulty part each, to see that the notebook of user contexts notices.

Each is named on the command line as `--target tests.saboteurs_contexts:NeverEndsSessions`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from typing import ClassVar

from labkit.reference.cache.user_cache import UserCache
from labkit.reference.executions import Executions, Locked
from labkit.reference.keyspace import Kind
from labkit.reference.platform import Parts, Platform
from labkit.reference.schema import Schema
from labkit.reference.session_contexts import SessionContext, SessionContexts, Work
from labkit.reference.sessions import Sessions
from labkit.reference.transactions import UserTransaction
from labkit.services.endpoints import Lease

FIELDS = ("id", "user", "session")


class _Sharing(SessionContexts):
    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self._made: SessionContext | None = None

    def _context(self, user: str, session: str) -> SessionContext:
        self._made = self._made or super()._context(user, session)
        return self._made

    async def _close(self, user: str, session: str) -> None:
        await super()._close(user, session)
        if self._made is not None and self._made.session == session:
            self._made = None


class HandsOutOneContext(Platform):
    """While a context is open, everybody who asks for one gets that."""

    parts = Parts(contexts=_Sharing)


def _ambient(name: str) -> property:
    """A field that is kept in a context variable, which nobody resets."""
    kept: ContextVar[str] = ContextVar(name)

    def keep(_context: object, value: str) -> None:
        kept.set(value)

    return property(lambda _: kept.get(), keep)


def _common(name: str, kept: dict[str, str]) -> property:
    """A field that is kept in a dictionary."""
    return property(lambda _: kept[name], lambda _, value: kept.update({name: value}))


def _with(name: str, fields: dict[str, property]) -> type[SessionContext]:
    """Contexts that keep their identity elsewhere."""
    return type(name, (SessionContext,), dict(fields))


class _MadeOtherwise(SessionContexts):
    made_of: ClassVar[type[SessionContext]]

    def _context(self, user: str, session: str) -> SessionContext:
        made = super()._context(user, session)
        return self.made_of(made.id, made.user, made.session, self._work)


class _Ambient(_MadeOtherwise):
    made_of = _with("Ambient", {name: _ambient(name) for name in FIELDS})


class LooksUpItsUser(Platform):
    """The identity stands in context variables, which are set and never reset."""

    parts = Parts(contexts=_Ambient)


def _one_for_all() -> type[SessionContext]:
    kept: dict[str, str] = {}
    return _with("Common", {name: _common(name, kept) for name in FIELDS})


class _Defaulting(_MadeOtherwise):
    made_of = _one_for_all()


class SharesADefault(Platform):
    """The identity stands in a dictionary that was meant as a default, and is one for all."""

    parts = Parts(contexts=_Defaulting)


class _Altered(Schema):
    alteration: ClassVar[str]

    async def install(self, lease: Lease) -> None:
        await super().install(lease)
        async with self._owner(lease) as owner:
            await owner.execute(self.alteration)


class Unfiltered(_Altered):
    """Threads and messages without row-level security."""

    alteration = """
        alter table threads disable row level security;
        alter table messages disable row level security;
    """


class QueriesWithoutTheUser(Platform):
    """Threads and messages are found by their ids, whoever asks."""

    parts = Parts(schema=Unfiltered)


class _NeverEnding(SessionContexts):
    async def _close(self, user: str, session: str) -> None:
        pass


class NeverEndsSessions(Platform):
    """The scope is left, and the session stays."""

    parts = Parts(contexts=_NeverEnding)


class _Untidy(SessionContexts):
    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self._left: list[AbstractAsyncContextManager[UserTransaction]] = []

    @asynccontextmanager
    async def open(
        self, user: str, *, lifetime_ms: int | None = None
    ) -> AsyncIterator[SessionContext]:
        async with super().open(user, lifetime_ms=lifetime_ms) as context:
            try:
                yield context
            except BaseException:
                self._left.append(self._work.sessions._store.transaction(user))
                await self._left[-1].__aenter__()
                raise


class LeavesTransactionsOpen(Platform):
    """When the body raised or was cancelled, a transaction stays open."""

    parts = Parts(contexts=_Untidy)


class _Timeless(Sessions):
    async def _is_alive(self, transaction: UserTransaction, session: str) -> bool:
        sql = "select true from sessions where id = $1 and ended_at is null and revoked_at is null"
        return bool(await transaction.fetch(sql, session))


class NeverLooksAtTheTime(Platform):
    """A session that has expired is as good as before."""

    parts = Parts(sessions=_Timeless)


class _Unnamed(UserCache):
    def _key(self, _user: str, key: str) -> str:
        return self._keys.named("all", Kind.CACHE, key)


class CachesWithoutTheUser(Platform):
    """A key of the cache is made of its name alone."""

    parts = Parts(cache=_Unnamed)


class _Lasting(UserCache):
    async def write(self, user: str, key: str, value: str, *, ttl_ms: int) -> None:
        await super().write(user, key, value, ttl_ms=ttl_ms)
        await self._redis.persist(self._key(user, key))


class CachesForEver(Platform):
    """What is cached stays, whatever its time to live was."""

    parts = Parts(cache=_Lasting)


class _Telling(_Altered):
    alteration = """
        create function user_of_run(run text) returns text
            language sql stable security definer set search_path = public
            return (select user_id from executions where id = run);
    """


class _Obliging(Executions):
    async def lock(self, transaction: UserTransaction, execution: str) -> Locked:
        [(owner,)] = await transaction.fetch("select user_of_run($1)", execution)
        if owner is not None:
            bind = "select set_config('labkit.acting_user', $1, true)"
            await transaction.execute(bind, owner)
            transaction._user = owner
        return await super().lock(transaction, execution)


class FindsRunsByIdAlone(Platform):
    """Whoever names a run acts as its user."""

    parts = Parts(schema=_Telling, executions=_Obliging)
