"""What a server says that it is, asked over a connection of the lab's own."""

from __future__ import annotations

import re

from labkit.records import ServiceVersion
from labkit.services.connect import PostgresConnection, postgres_session, redis_session
from labkit.services.endpoints import Origin, Server
from labkit.services.urls import PostgresUrl, RedisUrl


def major(version: str) -> int:
    """The first number of a version, such as 19 of `19beta1`; 0 where it begins with none."""
    found = re.match(r"\d+", version)
    return int(found[0]) if found else 0


async def greet_postgres(url: PostgresUrl, origin: Origin) -> Server:
    """The PostgreSQL at `url`, with its version; raises `ServiceUnavailable` or `LeaseError`."""
    async with postgres_session(url, doing="ask for the version") as session:
        return Server(url.secret, await postgres_version(session, origin))


async def postgres_version(session: PostgresConnection, origin: Origin) -> ServiceVersion:
    """What the server of a session says that it is."""
    told = str(await session.fetchval("SHOW server_version"))
    return ServiceVersion("postgres", "PostgreSQL", told.split(maxsplit=1)[0], origin)


async def greet_redis(url: RedisUrl, origin: Origin) -> Server:
    """The Redis at `url`, named as what it says; raises `ServiceUnavailable` or `LeaseError`.

    Valkey names itself and gives the version of Redis that it is compatible with beside its own.
    """
    async with redis_session(url, doing="ask for the version") as session:
        told = str(await session.command("INFO", "server"))
    facts = dict(line.split(":", 1) for line in told.splitlines() if ":" in line)
    if facts.get("server_name") == "valkey":
        version = ServiceVersion("redis", "Valkey", facts["valkey_version"], origin)
    else:
        version = ServiceVersion("redis", "Redis", facts["redis_version"], origin)
    return Server(url.secret, version)
