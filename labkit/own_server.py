"""A PostgreSQL of a check's own, with the target on it, to be killed and brought back.

Killing a server that others use would end their work, so durability is shown on one that the check
starts from the same programs. SIGKILL loses no page cache: a lost fsync cannot be seen this way.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

from labkit.services.connect import connect_postgres
from labkit.services.embedded import CrashablePostgres, crashable_postgres
from labkit.services.endpoints import Lease
from labkit.services.markers import name_of, new_lease_id, platform_name_of
from labkit.services.places import default_cache
from labkit.services.postgres_leases import make_postgres_lease
from labkit.services.urls import PostgresUrl
from labkit.targets.protocols import Target, TargetFactory
from labkit.witness import Witness


class OwnServer:
    """The server, a lease on it, and how to look at it before and after its death."""

    def __init__(self, postgres: CrashablePostgres, lease: Lease, factory: TargetFactory) -> None:
        self._postgres = postgres
        self._factory = factory
        self.lease = lease

    def target(self) -> Target:
        """The target on this server, to be entered with `async with`."""
        return self._factory(self.lease)

    def witness(self) -> Witness:
        """A witness of this server, to be entered with `async with`."""
        return Witness(self.lease)

    async def crash(self) -> int:
        """Kill all processes of the server at once; how many there were.

        Raises `ServiceUnavailable` when none was killed, or one still lives.
        """
        return await self._postgres.crash()

    async def restart(self) -> bool:
        """Start it again on what lies on disk; whether the server says that it is another start."""
        await self._postgres.restart()
        return await self._postgres.started_at() != self._started_at

    async def note_start(self) -> None:
        """Remember when the server was started, to tell another start from this one."""
        self._started_at = await self._postgres.started_at()


@contextlib.asynccontextmanager
async def own_server(
    lease: Lease, factory: TargetFactory, environment: Mapping[str, str]
) -> AsyncIterator[OwnServer]:
    """A server for the length of the block, with the target's schema in a database of its own.

    It serves PostgreSQL alone: Redis is that of `lease`. Raises `ServiceUnavailable` where no
    server can be started.
    """
    async with crashable_postgres(default_cache(environment), environment=environment) as postgres:
        own = await _leased(postgres, lease)
        await factory.install(own)
        server = OwnServer(postgres, own, factory)
        await server.note_start()
        yield server


async def _leased(postgres: CrashablePostgres, lease: Lease) -> Lease:
    """A lease on the server, which needs no mark and is never given back: it goes with it."""
    url, lease_id = PostgresUrl.parse(postgres.server.url.reveal()), new_lease_id()
    session = await connect_postgres(url, name="labkit-own-server")
    try:
        made = await make_postgres_lease(session, url, lease_id, template_id=None)
    finally:
        await session.close()
    return replace(
        lease,
        id=lease_id,
        database=name_of(lease_id),
        owner_role=name_of(lease_id),
        platform_role=platform_name_of(lease_id),
        owner_url=made.owner.secret,
        platform_url=made.platform.secret,
    )
