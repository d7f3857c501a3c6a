"""Leases: taken for one notebook run each, and given back however it ends.

Whoever takes leases keeps a `LeaseHolder` open: its connections mark them as alive. When it is
killed, they are leftovers, which `labkit.services.leftovers` finds and removes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, Self

from labkit.errors import LabError, LeaseError
from labkit.services.connect import (
    connect_postgres,
    connect_redis,
    postgres_session,
    redis_session,
    translated,
)
from labkit.services.endpoints import Lease, Services
from labkit.services.markers import name_of, new_lease_id, platform_name_of
from labkit.services.postgres_leases import (
    PostgresLease,
    make_postgres_lease,
    marked_postgres_leases,
    remove_postgres_leases,
    seize_lock,
)
from labkit.services.redis_leases import (
    RedisLease,
    hold_redis_lease,
    make_redis_lease,
    remove_redis_lease,
)
from labkit.services.urls import PostgresUrl, RedisUrl
from labkit.undisturbed import to_its_end

GIVE_BACK_S: Final = 10.0
"""How long giving one lease back may take, in seconds."""


@asynccontextmanager
async def lease(services: Services, *, template: Lease | None = None) -> AsyncIterator[Lease]:
    """One lease for as long as the block runs; see `LeaseHolder` for the details."""
    async with LeaseHolder(services) as holder:
        yield await holder.take(template=template)


class LeaseHolder:
    """Takes leases on the services, marks them as alive, and gives them back.

    ::

        async with LeaseHolder(services) as holder:
            template = await holder.take()
            …  # fill the template's database, and leave no session on it
            lease = await holder.take(template=template)
            …
            await holder.give_back(lease)

    Leaving the block gives back what is still held, the last one first; where that fails after an
    error of the block, the block's error goes on, with a note. The connections that mark the leases
    must not be inherited: a process forked from this one would keep them alive.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._postgres = PostgresUrl.parse(services.postgres.url.reveal())
        self._redis = RedisUrl.parse(services.redis.url.reveal())
        self._marks: dict[str, AsyncExitStack] = {}

    async def take(self, *, template: Lease | None = None) -> Lease:
        """A new lease: an empty database, or a copy of the template's, and an empty namespace.

        A template is itself a lease, and outlives its copies; nobody may be connected to its
        database meanwhile. Raises `ServiceUnavailable` or `LeaseError`, and leaves nothing then.
        """
        lease_id = new_lease_id()
        self._marks[lease_id] = AsyncExitStack()
        try:
            postgres = await self._take_postgres(
                lease_id, None if template is None else template.id
            )
            redis = await self._take_redis(lease_id)
        except BaseException as error:
            await self._give_back_after(error, lease_id)
            raise
        return _lease(lease_id, postgres, redis, self._services)

    async def give_back(self, lease: Lease) -> None:
        """End the lease's sessions and remove all that was made for it; harmless twice.

        A cancellation comes through when it is done, after `GIVE_BACK_S` seconds at most. Raises
        `ServiceUnavailable` or `LeaseError`; what is left then is found by its marker.
        """
        await self._give_back(lease.id)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        for lease_id in reversed(list(self._marks)):
            if error is not None:
                await self._give_back_after(error, lease_id)
                continue
            try:
                await self._give_back(lease_id)
            except (LabError, asyncio.CancelledError) as failure:
                # The rest is given back too, and its failures are noted on this one.
                error = failure
        if error is not None and kind is None:
            raise error

    async def _take_postgres(self, lease_id: str, template_id: str | None) -> PostgresLease:
        mark = await connect_postgres(self._postgres, name=f"labkit-owner-{lease_id}")
        self._marks[lease_id].callback(mark.terminate)
        return await make_postgres_lease(mark, self._postgres, lease_id, template_id=template_id)

    async def _take_redis(self, lease_id: str) -> RedisLease:
        mark = await connect_redis(self._redis, name=f"labkit-owner-{lease_id}")
        self._marks[lease_id].push_async_callback(mark.close)
        async with redis_session(self._redis, doing="make a lease on Redis") as session:
            await hold_redis_lease(mark, lease_id)
            return await make_redis_lease(session, self._redis, lease_id)

    async def _give_back_after(self, error: BaseException, lease_id: str) -> None:
        """Give back, and tell the error that goes on already when that fails."""
        try:
            await self._give_back(lease_id)
        except LabError as failure:
            error.add_note(str(failure))

    async def _give_back(self, lease_id: str) -> None:
        marks = self._marks.pop(lease_id, None)
        if marks is not None:
            await _undisturbed(self._remove(lease_id, marks))

    async def _remove(self, lease_id: str, marks: AsyncExitStack) -> None:
        """Remove a lease as anybody would who finds it; both halves, whatever becomes of one."""
        await marks.aclose()
        outcomes = await asyncio.gather(
            self._remove_from_postgres(lease_id),
            self._remove_from_redis(lease_id),
            return_exceptions=True,
        )
        failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        for other in failures[1:]:
            failures[0].add_note(str(other))
        if failures:
            raise failures[0]

    async def _remove_from_postgres(self, lease_id: str) -> None:
        async with postgres_session(self._postgres, doing="give back a lease on PostgreSQL") as own:
            # A statement that was cut short may still run at the server.
            if not await seize_lock(own, lease_id, patience_s=GIVE_BACK_S):
                raise LeaseError(f"the lease {name_of(lease_id)} is still busy at PostgreSQL")
            await remove_postgres_leases(own, [lease_id])
            if lease_id in await marked_postgres_leases(own):
                raise LeaseError(f"the lease {name_of(lease_id)} still has copies: end them first")

    async def _remove_from_redis(self, lease_id: str) -> None:
        async with redis_session(self._redis, doing="give back a lease on Redis") as session:
            await remove_redis_lease(session, lease_id, self._redis.database)


def _lease(lease_id: str, postgres: PostgresLease, redis: RedisLease, services: Services) -> Lease:
    return Lease(
        id=lease_id,
        database=name_of(lease_id),
        owner_role=name_of(lease_id),
        platform_role=platform_name_of(lease_id),
        owner_url=postgres.owner.secret,
        platform_url=postgres.platform.secret,
        redis_url=redis.url.secret,
        redis_prefix=redis.prefix,
        services=(services.postgres.version, services.redis.version),
        notes=redis.notes,
    )


async def _undisturbed(work: Coroutine[object, object, None]) -> None:
    """Do the work to its end, at most `GIVE_BACK_S` seconds; a cancellation waits until then.

    Raises `LeaseError` when the time is over. A failure is noted on a cancellation that waited.
    """
    task = asyncio.create_task(asyncio.wait_for(work, GIVE_BACK_S))
    cancelled = await to_its_end(task)
    try:
        with translated({TimeoutError: LeaseError}, "give back a lease"):
            task.result()
    except LabError as failure:
        if cancelled is None:
            raise
        cancelled.add_note(str(failure))
    if cancelled is not None:
        raise cancelled
