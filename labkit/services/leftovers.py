"""Leases whose owner is gone, found by their marker and removed, and nothing else.

A lease lives as long as its owner's connections: with them PostgreSQL frees its advisory lock, and
Redis ends its subscription. Several may sweep at once: in PostgreSQL the lock decides who removes;
in Redis each step may be done twice.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Final

import labkit
from labkit.services.connect import postgres_session, redis_session
from labkit.services.endpoints import Services
from labkit.services.keeper import Will
from labkit.services.markers import name_of
from labkit.services.postgres_leases import (
    marked_postgres_leases,
    remove_postgres_leases,
    seize_lock,
)
from labkit.services.redis_leases import is_held, marked_redis_leases, remove_redis_lease
from labkit.services.urls import PostgresUrl, RedisUrl

_PATIENCE_S: Final = 5.0
"""How long a will waits for the statement that the killed owner had begun, in seconds."""


async def remove_leftovers(services: Services) -> tuple[str, ...]:
    """Remove the leases of dead owners from both servers; what was removed, in sentences.

    Raises `ServiceUnavailable` or `LeaseError` when a server cannot be asked, or refuses.
    """
    removed = await remove_postgres_leftovers(PostgresUrl.parse(services.postgres.url.reveal()))
    return removed + await remove_redis_leftovers(RedisUrl.parse(services.redis.url.reveal()))


async def remove_postgres_leftovers(
    url: PostgresUrl, *, patience_s: float = 0.0
) -> tuple[str, ...]:
    """Remove databases and roles of dead owners; errors as of `remove_leftovers`.

    For each lease that seems alive it waits up to `patience_s` seconds for its owner's end.
    """
    async with postgres_session(url, doing="remove leftovers from PostgreSQL") as session:
        # The session's end releases the locks.
        leftovers = [
            lease_id
            for lease_id in await marked_postgres_leases(session)
            if await seize_lock(session, lease_id, patience_s=patience_s)
        ]
        removed = await remove_postgres_leases(session, leftovers)
    return tuple(
        f"the database and roles {name_of(lease_id)}, left at PostgreSQL by a run that died"
        for lease_id in removed
    )


async def remove_redis_leftovers(url: RedisUrl) -> tuple[str, ...]:
    """Remove users and keys of dead owners; errors as of `remove_leftovers`."""
    async with redis_session(url, doing="remove leftovers from Redis") as session:
        removed = [
            lease_id
            for lease_id in await marked_redis_leases(session, url.database)
            if not await is_held(session, lease_id)
            and await remove_redis_lease(session, lease_id, url.database)
        ]
    return tuple(
        f"the user and keys of {name_of(lease_id)}, left at Redis by a run that died"
        for lease_id in removed
    )


def will_of(postgres: PostgresUrl | None, redis: RedisUrl | None) -> Will:
    """The command that removes what this process leaves on these servers when it is killed."""
    # The package is found where it is now, however the interpreter was told of it.
    bootstrap = (
        "import sys; sys.path.append(sys.argv[1]);"
        "from labkit.services.leftovers import execute_will; execute_will()"
    )
    root = str(Path(labkit.__file__).parents[1])
    urls = [url and url.secret.reveal() for url in (postgres, redis)]
    return Will((sys.executable, "-P", "-c", bootstrap, root), stdin=json.dumps(urls))


def execute_will() -> None:
    """Remove leftovers from the servers whose URLs stand in the input, as `will_of` wrote them."""
    asyncio.run(_remove(*json.load(sys.stdin)))


async def _remove(postgres: str | None, redis: str | None) -> None:
    async with asyncio.TaskGroup() as group:
        if postgres is not None:
            url = PostgresUrl.parse(postgres)
            group.create_task(remove_postgres_leftovers(url, patience_s=_PATIENCE_S))
        if redis is not None:
            group.create_task(remove_redis_leftovers(RedisUrl.parse(redis)))
