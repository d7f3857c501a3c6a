"""Leases whose owner is gone, found by their marker and removed, and nothing else.

A lease lives as long as its owner's connections: with them PostgreSQL frees its advisory lock, and
Redis ends its subscription. Several may sweep at once: in PostgreSQL the lock decides who removes;
in Redis each step may be done twice.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Final

import labkit
from labkit.services.connect import PostgresConnection, postgres_session, redis_session
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
"""How long a will waits for the statements that the killed owner had begun, in seconds."""

_PAUSE_S: Final = 0.1


async def remove_postgres_leftovers(
    url: PostgresUrl, *, patience_s: float = 0.0
) -> tuple[str, ...]:
    """Remove databases and roles of dead owners; what was removed, in sentences.

    For `patience_s` seconds it looks again whether one that seemed alive is not. Raises
    `ServiceUnavailable` or `LeaseError` when the server cannot be asked, or refuses.
    """
    until = time.monotonic() + patience_s
    async with postgres_session(url, doing="remove leftovers from PostgreSQL") as session:
        removed, left = await _remove_unowned(session)
        while left and time.monotonic() < until:
            await asyncio.sleep(_PAUSE_S)
            more, left = await _remove_unowned(session)
            removed += more
    return tuple(
        f"the database and roles {name_of(lease_id)}, left at PostgreSQL by a run that died"
        for lease_id in removed
    )


async def _remove_unowned(session: PostgresConnection) -> tuple[list[str], bool]:
    """Remove the leases that nobody owns just now; their ids, and whether there are others.

    It waits for no lock, and keeps none: an owner that gives a lease back meanwhile needs its own.
    """
    marked = await marked_postgres_leases(session)
    unowned = [one for one in marked if await seize_lock(session, one, patience_s=0)]
    try:
        removed = await remove_postgres_leases(session, unowned)
    finally:
        await session.execute("SELECT pg_advisory_unlock_all()")
    return removed, len(removed) < len(marked)


async def remove_redis_leftovers(url: RedisUrl) -> tuple[str, ...]:
    """Remove users and keys of dead owners; answers and raises as `remove_postgres_leftovers`."""
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
