"""Platforms whose user contexts have one faulty part."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from typing import ClassVar, Final

from labkit.reference.cache.keyspace import Kind
from labkit.reference.cache.user_cache import UserCache
from labkit.reference.contexts.session_contexts import SessionContext, SessionContexts, Work
from labkit.reference.contexts.sessions import Sessions
from labkit.reference.data.transactions import UserTransaction
from labkit.reference.execution.executions import Executions, Locked
from labkit.reference.platform import Parts, Platform
from labkit.reference.sabotage.altered import AlteredSchema
from labkit.sabotage import Sabotage

_AREA: Final = "user_contexts"
_FACTORY: Final = "user_context_factory_creates_isolated_contexts"
_CROWD: Final = "concurrent_user_context_creation_no_leakage"
_LIFECYCLE: Final = "session_scoped_context_lifecycle"
_SERVICES: Final = "factory_adapter_integration_with_real_services"
_EXECUTION: Final = "execution_factory_user_context_integration"

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


class Unfiltered(AlteredSchema):
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
                store = self._work.sessions._store  # noqa: SLF001 - the fault goes around the rules
                self._left.append(store.transaction(user))
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


class _Telling(AlteredSchema):
    alteration = """
        create or replace function user_of_run(run text) returns text
            language sql stable security definer set search_path = public
            return (select user_id from executions where id = run);
    """


class _Obliging(Executions):
    async def lock(self, transaction: UserTransaction, execution: str) -> Locked:
        [(owner,)] = await transaction.fetch("select user_of_run($1)", execution)
        if owner is not None:
            bind = "select set_config('labkit.acting_user', $1, true)"
            await transaction.execute(bind, owner)
            transaction._user = owner  # noqa: SLF001 - the fault goes around the rules
        return await super().lock(transaction, execution)


class FindsRunsByIdAlone(Platform):
    """Whoever names a run acts as its user."""

    parts = Parts(schema=_Telling, executions=_Obliging)


SABOTAGES: Final = (
    Sabotage.of(
        HandsOutOneContext,
        "cached-context",
        area=_AREA,
        promise="Each context is its own user's.",
        stands_for="A factory with a cache whose key lacks the user.",
        must={
            _FACTORY: "context-shared",
            **dict.fromkeys((_CROWD, _SERVICES, _EXECUTION), "wrong-identity"),
        },
    ),
    Sabotage.of(
        LooksUpItsUser,
        "context-variable-not-reset",
        area=_AREA,
        promise="A context stays who it is while tasks switch.",
        stands_for="A context variable that is set and never reset: Starlette #2335.",
        must={
            _FACTORY: "context-shared",
            _CROWD: "wrong-identity",
            _EXECUTION: "wrong-identity",
        },
    ),
    Sabotage.of(
        SharesADefault,
        "shared-default",
        area=_AREA,
        promise="Nothing of a context is another's.",
        stands_for="A mutable default argument.",
        must={
            _FACTORY: "context-shared",
            **dict.fromkeys((_CROWD, _SERVICES, _EXECUTION), "wrong-identity"),
        },
    ),
    Sabotage.of(
        QueriesWithoutTheUser,
        "query-without-user",
        area=_AREA,
        promise="Rows are found for their own user alone.",
        stands_for="Broken object-level authorization: whoever knows an id reads it.",
        must={
            _FACTORY: "foreign-row-read",
            _CROWD: "foreign-read-accepted",
            _EXECUTION: "foreign-row-read",
        },
    ),
    Sabotage.of(
        NeverEndsSessions,
        "scope-never-closed",
        area=_AREA,
        promise="After its scope a context refuses everything.",
        stands_for="A generator dependency whose end is never reached.",
        must={_LIFECYCLE: "used-after-end"},
    ),
    Sabotage.of(
        LeavesTransactionsOpen,
        "transaction-left-open",
        area=_AREA,
        promise="A scope that raised leaves nothing open.",
        stands_for="A connection entered by hand, and no `finally`.",
        must={_LIFECYCLE: "left-open"},
    ),
    Sabotage.of(
        CachesForEver,
        "cached-for-ever",
        area=_AREA,
        promise="What a session caches ends at the latest with its time to live.",
        stands_for="A plain SET, which takes a key's expiry away.",
        must={_LIFECYCLE: "left-open"},
    ),
    Sabotage.of(
        NeverLooksAtTheTime,
        "expiry-not-checked",
        area=_AREA,
        promise="A session that has expired is refused.",
        stands_for="Expiry stored and never compared.",
        must={_LIFECYCLE: "used-after-expiry"},
    ),
    Sabotage.of(
        CachesWithoutTheUser,
        "context-cache-key-without-user",
        area=_AREA,
        promise="A cached value is its user's own.",
        stands_for="Cache keys without the user: other people's pages out of a shared cache.",
        must={_CROWD: "leak", _SERVICES: "foreign-value-read"},
    ),
    Sabotage.of(
        FindsRunsByIdAlone,
        "run-by-id-alone",
        area=_AREA,
        promise="A run is reached by its own user alone.",
        stands_for="Lookup by id, with the owner's rights.",
        must={_EXECUTION: "foreign-run-reached"},
    ),
)
