"""A Redis of a check's own has no one else on it, and keeps each login in its namespace."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from labkit.errors import LeaseError
from labkit.ids import UserID
from labkit.own_redis import OwnRedis, own_redis
from labkit.redaction import Secret
from labkit.reference import Platform
from labkit.services.connect import redis_session
from labkit.services.endpoints import Lease, secrets_of
from labkit.services.urls import RedisUrl
from labkit.witness import Witness
from tests.reference.stage import asynchronous

TTL_MS = 60_000


@asynccontextmanager
async def own(lease: Lease, told: list[Secret] | None = None) -> AsyncIterator[OwnRedis]:
    """A server with the platform's schema in the leased database."""
    await Platform.install(lease)
    kept = [] if told is None else told
    async with own_redis(lease, Platform, os.environ, keep_secret=kept.extend) as server:
        yield server


async def says(lease: Lease, *parts: str) -> object:
    """What the server answers, or why it refuses."""
    url = RedisUrl.parse(lease.redis_url.reveal())
    try:
        async with redis_session(url, doing="ask") as session:
            return await session.command(*parts)
    except LeaseError as error:
        return str(error).removeprefix(f"cannot ask at {url.address}: ")


@asynchronous
async def test_it_is_another_server(lease: Lease) -> None:
    """What the target keeps there is seen by its witness, and not by that of the lab."""
    async with own(lease) as server, server.target() as target:
        user = UserID.new()
        await target.data.create_user(user)
        await target.cache.write(user, "key", "value", ttl_ms=TTL_MS)
        async with server.witness() as there, Witness(lease) as here:
            assert len(await there.keys()) == 1
            assert await here.keys() == frozenset()
            assert await here.count(target.tables.users, "id = $1", user) == 1


@asynchronous
async def test_a_login_is_bounded_by_the_server(lease: Lease) -> None:
    """The platform works in the user's namespace by it, and is refused outside."""
    async with own(lease) as server, server.target() as target:
        mine, other = UserID.new(), UserID.new()
        bounded = await server.login(target.cache.prefix(mine))
        await target.cache.write(other, "key", "secret", ttl_ms=TTL_MS)
        async with server.target(bounded) as led:
            await led.cache.write(mine, "key", "value", ttl_ms=TTL_MS)
            assert await led.cache.read(mine, "key") == "value"
        async with server.witness() as witness:
            (foreign,) = [
                key for key in await witness.keys() if key.startswith(target.cache.prefix(other))
            ]
        assert "No permissions" in str(await says(bounded, "GET", foreign))
        assert "No permissions" in str(await says(bounded, "PUBLISH", foreign, "news"))
        assert "no permissions" in str(await says(bounded, "FLUSHALL"))
        assert await says(server.lease, "GET", foreign) == "secret"


@pytest.mark.parametrize("prefix", ["a*:", "a?:", "a[b]:", "a\\:", "[^x]:"])
@asynchronous
async def test_a_prefix_is_meant_letter_by_letter(lease: Lease, prefix: str) -> None:
    """What stands for other letters in a pattern stands for itself here."""
    async with own_redis(lease, Platform, os.environ, keep_secret=lambda _: None) as server:
        bounded = await server.login(prefix)
        assert await says(bounded, "SET", f"{prefix}key", "value") == "OK"
        for other in ("ab:key", "abc:key", "b:key", "aa:key", "a:key"):
            assert "No permissions" in str(await says(bounded, "SET", other, "value"))


@asynchronous
async def test_a_prefix_that_cannot_be_bound_is_told(lease: Lease) -> None:
    """The server knows no pattern with a space in it."""
    async with own_redis(lease, Platform, os.environ, keep_secret=lambda _: None) as server:
        with pytest.raises(LeaseError, match="make a login for 'a b:'"):
            await server.login("a b:")


@asynchronous
async def test_every_url_is_told_as_a_secret(lease: Lease) -> None:
    """That of the administrator, and those of all logins."""
    told = list[Secret]()
    async with own(lease, told) as server:
        logins = [await server.login(prefix) for prefix in ("a:", "b:")]
        for each in (server.lease, *logins):
            assert set(secrets_of(each)) <= set(told)
        assert len({each.redis_url.reveal() for each in (lease, server.lease, *logins)}) == 4
