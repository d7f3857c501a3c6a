"""What a server is and what the lab may do on it, found out by reading alone."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from redis import exceptions

from labkit.redaction import Secret, is_weak
from labkit.services.connect import RedisConnection, postgres_session, redis_session
from labkit.services.endpoints import Origin, Server
from labkit.services.redis_leases import SHARED_USER, is_forbidden
from labkit.services.urls import PostgresUrl, RedisUrl
from labkit.services.versions import greet_postgres, greet_redis, major

OLDEST_POSTGRES: Final = 15
OLDEST_REDIS: Final = 7

_ROUND_TRIPS: Final = 5

_POSTGRES_RIGHTS: Final = """
    SELECT current_user::text, rolsuper OR rolcreatedb, rolsuper OR rolcreaterole
    FROM pg_roles WHERE rolname = current_user
"""


@dataclass(frozen=True)
class Probe:
    """A server that answers."""

    server: Server
    address: str
    """Where it is, without a login."""
    rights: tuple[str, ...]
    """What the lab's user may do there, in words."""
    latency_ms: float
    """The median of a few bare round trips."""
    faults: tuple[str, ...]
    """Why no lease can be made on it; each says what to do."""
    notes: tuple[str, ...]
    """What to know all the same."""


async def probe_postgres(url: PostgresUrl, origin: Origin) -> Probe:
    """Look at a PostgreSQL; raises `ServiceUnavailable` or `LeaseError` when it lets nobody in."""
    server = await greet_postgres(url, origin)
    async with postgres_session(url, doing="probe PostgreSQL") as session:
        [(user, makes_databases, makes_roles)] = await session.fetch(_POSTGRES_RIGHTS)
        latency_ms = await _median_ms(lambda: session.fetchval("SELECT 1"))
    may = [("CREATEDB", makes_databases), ("CREATEROLE", makes_roles)]
    faults = _too_old(server, OLDEST_POSTGRES) + tuple(
        f"the PostgreSQL role {user!r} lacks {right}: ALTER ROLE {user} {right}, or give the URL of"
        " another role"
        for right, granted in may
        if not granted
    )
    rights = tuple(right for right, granted in may if granted)
    notes = _weakness(url.password, "PostgreSQL")
    return Probe(server, url.address, rights, latency_ms, faults, notes)


async def probe_redis(url: RedisUrl, origin: Origin) -> Probe:
    """Look at a Redis or Valkey; raises as `probe_postgres`."""
    server = await greet_redis(url, origin)
    async with redis_session(url, doing="probe Redis") as session:
        makes_users = await _may_make_users(session)
        latency_ms = await _median_ms(lambda: session.command("PING"))
    rights = ("ACL SETUSER",) if makes_users else ()
    notes = _weakness(url.password, "Redis") + (() if makes_users else (SHARED_USER,))
    return Probe(server, url.address, rights, latency_ms, _too_old(server, OLDEST_REDIS), notes)


async def _may_make_users(session: RedisConnection) -> bool:
    """Whether the server says that its user may; nothing is made."""
    try:
        user = await session.command("ACL", "WHOAMI")
        answer = await session.command("ACL", "DRYRUN", user, "ACL", "SETUSER", "labkit_probe")
    except exceptions.ResponseError as error:
        if not is_forbidden(error):
            raise
        return False
    return bool(answer == "OK")


async def _median_ms(round_trip: Callable[[], Awaitable[object]]) -> float:
    times_ms = []
    for _ in range(_ROUND_TRIPS):
        begun = time.perf_counter()
        await round_trip()
        times_ms.append((time.perf_counter() - begun) * 1000)
    return statistics.median(times_ms)


def _too_old(server: Server, oldest: int) -> tuple[str, ...]:
    version = server.version
    if major(version.version) >= oldest:
        return ()
    return (f"{version.product} {version.version} is too old: the lab needs {oldest} or newer",)


def _weakness(password: str | None, product: str) -> tuple[str, ...]:
    if password is None or not is_weak(Secret(password)):
        return ()
    text = "is weak: it can be guessed, and is too common to be hidden everywhere in outputs"
    return (f"the password given for {product} {text}",)
