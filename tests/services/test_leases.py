"""Leases on real servers: what they allow, what they forbid, and how they are given back."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from labkit.errors import LeaseError, ServiceUnavailable
from labkit.redaction import Secret
from labkit.services.connect import (
    PostgresConnection,
    RedisConnection,
    redis_session,
)
from labkit.services.endpoints import Lease, Services
from labkit.services.leases import LeaseHolder
from labkit.services.leases import lease as taken
from labkit.services.leftovers import remove_postgres_leftovers, remove_redis_leftovers
from labkit.services.redis_leases import MARKERS, SHARED_USER
from labkit.services.urls import Host, PostgresUrl, RedisUrl
from tests.services.owners import eventually

NOTES = """
    CREATE TABLE notes (author text, line text);
    ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON notes USING (author = current_setting('test.author', true));
    INSERT INTO notes VALUES ('ada', 'mine'), ('bob', 'not hers');
    GRANT SELECT ON notes TO
"""


@asynccontextmanager
async def postgres(url: Secret) -> AsyncIterator[PostgresConnection]:
    """A connection to PostgreSQL, with the driver's own errors."""
    connection = await asyncpg.connect(url.reveal())
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def redis(url: Secret) -> AsyncIterator[RedisConnection]:
    """A connection to Redis; its errors become `LeaseError`."""
    async with redis_session(RedisUrl.parse(url.reveal()), doing="use Redis") as session:
        yield session


async def traces(services: Services, lease_id: str) -> list[str]:
    """All that the servers still know of a lease."""
    async with postgres(services.postgres.url) as connection:
        rows = await connection.fetch(
            "SELECT rolname FROM pg_roles WHERE strpos(rolname, $1) > 0"
            " UNION ALL SELECT datname FROM pg_database WHERE strpos(datname, $1) > 0",
            lease_id,
        )
    async with redis(services.redis.url) as session:
        users = [user for user in await session.command("ACL", "USERS") if lease_id in user]
        keys = await session.command("KEYS", f"*{lease_id}*")
        marked = await session.command("HEXISTS", MARKERS, lease_id)
    return [*(str(row[0]) for row in rows), *users, *keys, *([MARKERS] * marked)]


def are_swept(services: Services, *lease_ids: str) -> bool:
    """Remove what has no owner; whether nothing is left of some leases that nobody holds now.

    The servers may not have noticed that yet.
    """
    asyncio.run(remove_postgres_leftovers(PostgresUrl.parse(services.postgres.url.reveal())))
    asyncio.run(remove_redis_leftovers(RedisUrl.parse(services.redis.url.reveal())))
    return not any(asyncio.run(traces(services, lease_id)) for lease_id in lease_ids)


def test_the_owner_rules_its_database_and_the_platform_does_not(lease: Lease) -> None:
    """Tables are the owner's to make; neither role is more than an ordinary user."""

    async def use() -> None:
        async with postgres(lease.owner_url) as own, postgres(lease.platform_url) as platform:
            assert await own.fetchval("SELECT current_database()") == lease.database
            await own.execute("CREATE TABLE things (); CREATE SCHEMA more")
            await platform.execute("CREATE TEMPORARY TABLE passing ()")
            for statement in ("CREATE TABLE public.theirs ()", "CREATE SCHEMA theirs"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await platform.execute(statement)
            for role in (own, platform):
                for statement in ("CREATE ROLE labkit_more", "CREATE DATABASE labkit_more"):
                    with pytest.raises(asyncpg.InsufficientPrivilegeError):
                        await role.execute(statement)

    asyncio.run(use())


def test_a_lease_is_closed_to_others(services: Services) -> None:
    """The roles of one lease cannot enter the database of another."""

    async def use() -> None:
        async with taken(services) as mine, taken(services) as other:
            url = PostgresUrl.parse(mine.owner_url.reveal())
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with postgres(replace(url, database=other.database).secret):
                    pass

    asyncio.run(use())


async def _use_a_copy(services: Services) -> None:
    """A template with a table under row-level security, and what its copy's roles may do."""
    async with LeaseHolder(services) as holder:
        template = await holder.take()
        async with postgres(template.owner_url) as own:
            await own.execute(NOTES + template.platform_role)
        copy = await holder.take(template=template)
        async with postgres(copy.owner_url) as own, postgres(copy.platform_url) as platform:
            assert await own.fetchval("SELECT count(*) FROM notes") == 2
            await own.execute("ALTER TABLE notes ADD COLUMN more int")
            assert await platform.fetchval("SELECT count(*) FROM notes") == 0
            await platform.execute("SET test.author = 'ada'")
            assert await platform.fetchval("SELECT string_agg(line, ',') FROM notes") == "mine"
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await platform.execute("ALTER TABLE notes DISABLE ROW LEVEL SECURITY")
            assert {await role.fetchval("SHOW is_superuser") for role in (own, platform)} == {"off"}
        async with postgres(template.owner_url) as own:
            assert await own.fetchval("SELECT count(*) FROM notes") == 2
    assert await traces(services, template.id) == []
    assert await traces(services, copy.id) == []


def test_a_copy_serves_its_own_roles_as_the_template_served_its(services: Services) -> None:
    """Policies bind the copy's platform role and not its owner; the template is not touched."""
    asyncio.run(_use_a_copy(services))


@asynccontextmanager
async def as_plain_role(services: Services) -> AsyncIterator[Services]:
    """The services for a PostgreSQL role with two rights, which is left without any other role."""
    name, password = f"test_{secrets.token_hex(6)}", secrets.token_hex(12)
    plain = replace(PostgresUrl.parse(services.postgres.url.reveal()), user=name, password=password)
    async with postgres(services.postgres.url) as admin:
        await admin.execute(f"CREATE ROLE {name} LOGIN CREATEDB CREATEROLE PASSWORD '{password}'")
        try:
            yield replace(services, postgres=replace(services.postgres, url=plain.secret))
            memberships = await admin.fetch(
                "SELECT roleid::regrole FROM pg_auth_members WHERE member = $1::text::regrole", name
            )
            assert memberships == []
        finally:
            await admin.execute(f"DROP ROLE {name}")


def test_a_plain_role_with_two_rights_is_enough(services: Services) -> None:
    """The whole cycle works for a user who may only make databases and roles."""

    async def cycle() -> None:
        async with as_plain_role(services) as limited:
            await _use_a_copy(limited)

    asyncio.run(cycle())


def test_a_template_that_has_copies_stays_known_until_they_are_gone(services: Services) -> None:
    """Given back too early, its roles and marker stay, and the error says why."""

    async def cycle() -> str:
        async with LeaseHolder(services) as holder:
            template = await holder.take()
            async with postgres(template.owner_url) as own:
                await own.execute("CREATE TABLE notes ()")
            copy = await holder.take(template=template)
            with pytest.raises(LeaseError, match="still has copies"):
                await holder.give_back(template)
            assert template.owner_role in await traces(services, template.id)
            await holder.give_back(copy)
            return template.id

    template_id = asyncio.run(cycle())
    assert eventually(lambda: are_swept(services, template_id))


def test_a_redis_user_is_bound_to_its_prefix(services: Services, lease: Lease) -> None:
    """Keys, streams, scripts and channels inside it work; nothing beyond it is let through."""
    prefix = lease.redis_prefix
    allowed: list[tuple[str | int, ...]] = [
        ("SET", f"{prefix}key", "1"),
        ("XADD", f"{prefix}stream", "*", "field", "1"),
        ("EVAL", "return redis.call('INCR', KEYS[1])", 1, f"{prefix}key"),
        ("PUBLISH", f"{prefix}news", "1"),
        ("SCAN", 0),
        ("INFO", "server"),
    ]
    refused: list[tuple[str | int, ...]] = [
        ("SET", "other", "1"),
        ("GET", f"labkit:{lease.id}x"),
        ("HDEL", MARKERS, lease.id),
        ("EVAL", "return redis.call('INCR', 'other')", 0),
        ("PUBLISH", "news", "1"),
        ("SUBSCRIBE", f"labkit-owner:{lease.id}"),
        *(("FLUSHALL",), ("KEYS", "*"), ("CONFIG", "GET", "*"), ("ACL", "LIST")),
        *(("CLIENT", "LIST"), ("SCRIPT", "FLUSH"), ("FUNCTION", "FLUSH"), ("SHUTDOWN",)),
    ]

    async def use() -> None:
        async with redis(lease.redis_url) as session:
            for command in allowed:
                await session.command(*command)
        for command in refused:
            with pytest.raises(LeaseError, match=r"permission|can't access"):
                async with redis(lease.redis_url) as session:
                    await session.command(*command)
        async with redis(services.redis.url) as session:
            held = await session.command("PUBSUB", "NUMSUB", f"labkit-owner:{lease.id}")
        assert held == [f"labkit-owner:{lease.id}", 1]

    asyncio.run(use())


def test_where_users_cannot_be_made_the_prefix_alone_is_leased(services: Services) -> None:
    """The given user serves, the lease says so, and it is given back all the same."""
    name, password = f"test_{secrets.token_hex(6)}", secrets.token_hex(12)
    plain = RedisUrl.parse(services.redis.url.reveal()).login(name, password)
    limited = replace(services, redis=replace(services.redis, url=plain.secret))

    async def cycle() -> None:
        async with redis(services.redis.url) as admin:
            rights = ("on", f">{password}", "~*", "&*", "+@all", "-acl")
            await admin.command("ACL", "SETUSER", name, *rights)
            try:
                async with taken(limited) as lease:
                    assert lease.redis_url == plain.secret
                    assert lease.notes == (SHARED_USER,)
                    async with redis(lease.redis_url) as session:
                        await session.command("SET", f"{lease.redis_prefix}key", "1")
                assert await traces(services, lease.id) == []
            finally:
                await admin.command("ACL", "DELUSER", name)

    asyncio.run(cycle())


def test_giving_back_ends_sessions_and_leaves_nothing(services: Services) -> None:
    """Open transactions, keys in every database: all gone. A second time is harmless."""

    async def cycle() -> None:
        async with LeaseHolder(services) as holder:
            lease = await holder.take()
            own = await asyncpg.connect(lease.owner_url.reveal())
            await own.execute("BEGIN")
            await own.execute("CREATE TABLE things ()")
            odd_name = f"{lease.redis_prefix}\udcff*\n"
            async with redis(lease.redis_url) as session:
                await session.command("SET", odd_name, "1")
                await session.command("SELECT", 3)
                await session.command("SET", f"{lease.redis_prefix}there", "1")
                await holder.give_back(lease)
                await holder.give_back(lease)
                with pytest.raises(LeaseError, match="cannot log in to Redis"):
                    async with redis(lease.redis_url):
                        pass
            with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
                await own.execute("SELECT 1")
            assert await traces(services, lease.id) == []
            there = replace(RedisUrl.parse(services.redis.url.reveal()), database=3)
            async with redis(there.secret) as session:
                assert await session.command("EXISTS", f"{lease.redis_prefix}there") == 0

    asyncio.run(cycle())


def test_keys_beside_the_prefix_survive(services: Services) -> None:
    """Only names that begin with exactly the lease's prefix are removed."""

    async def cycle() -> None:
        async with redis(services.redis.url) as admin:
            async with taken(services) as lease:
                beside = [f"labkit:{lease.id}", f"x{lease.redis_prefix}y"]
                await admin.command("MSET", *(part for key in beside for part in (key, "1")))
            assert await admin.command("DEL", *beside) == 2

    asyncio.run(cycle())


def test_a_lease_that_cannot_be_made_leaves_nothing(services: Services) -> None:
    """With Redis away, PostgreSQL's half is given back at once."""
    nowhere = replace(services.redis, url=RedisUrl(Host("127.0.0.1", 1)).secret)

    async def take() -> None:
        async with as_plain_role(services) as limited:
            holder = LeaseHolder(replace(limited, redis=nowhere))
            with pytest.raises(ServiceUnavailable, match=r"Redis at 127\.0\.0\.1:1"):
                await holder.take()

    asyncio.run(take())


@pytest.mark.parametrize("error", [ValueError("the body's"), asyncio.CancelledError("the body's")])
def test_an_error_of_the_body_goes_on(services: Services, error: BaseException) -> None:
    """The lease is given back, and the error that ended the block is the one that is seen."""

    async def cycle() -> tuple[str, BaseException]:
        with pytest.raises(type(error)) as caught:
            async with taken(services) as lease:
                raise error
        return lease.id, caught.value

    lease_id, seen = asyncio.run(cycle())
    assert seen is error
    assert asyncio.run(traces(services, lease_id)) == []


def test_a_cancellation_waits_until_the_lease_is_given_back(services: Services) -> None:
    """It comes through, again and again, but only when nothing is left."""

    async def cycle() -> None:
        async with LeaseHolder(services) as holder:
            lease = await holder.take()
            giving_back = asyncio.create_task(holder.give_back(lease))
            for _ in range(3):
                await asyncio.sleep(0)
                giving_back.cancel()
            with pytest.raises(asyncio.CancelledError):
                await giving_back
            assert await traces(services, lease.id) == []

    asyncio.run(cycle())


def test_a_failure_to_give_back_is_noted_on_the_error_of_the_body(services: Services) -> None:
    """Nothing is hidden: neither the error of the block nor what stayed behind."""
    error = ValueError("the body's")
    templates = []

    async def cycle() -> None:
        async with LeaseHolder(services) as outer, LeaseHolder(services) as holder:
            template = await holder.take()
            templates.append(template.id)
            async with postgres(template.owner_url) as own:
                await own.execute("CREATE TABLE notes ()")
            await outer.take(template=template)
            raise error

    with pytest.raises(ValueError, match="the body's"):
        asyncio.run(cycle())
    assert "still has copies" in error.__notes__[0]
    assert eventually(lambda: are_swept(services, templates[0]))


def test_connections_are_not_shown_passwords(lease: Lease) -> None:
    """A lease prints without a secret."""
    shown: Any = repr(lease)
    password = PostgresUrl.parse(lease.owner_url.reveal()).password
    assert password
    assert password not in shown
