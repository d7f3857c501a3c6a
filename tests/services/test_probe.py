"""What a server is, and what the lab may do on it."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace

from labkit.services.endpoints import Origin, Services
from labkit.services.probe import probe_postgres, probe_redis
from labkit.services.redis_leases import SHARED_USER
from labkit.services.urls import PostgresUrl, RedisUrl
from tests.services.test_leases import postgres, redis


def test_a_server_with_all_rights_has_no_fault(services: Services) -> None:
    """Product, version, rights and a latency are told for both."""
    postgres_url = PostgresUrl.parse(services.postgres.url.reveal())
    redis_url = RedisUrl.parse(services.redis.url.reveal())
    of_postgres = asyncio.run(probe_postgres(postgres_url, Origin.GIVEN))
    of_redis = asyncio.run(probe_redis(redis_url, Origin.GIVEN))
    assert of_postgres.server.version.product == "PostgreSQL"
    assert of_postgres.rights == ("CREATEDB", "CREATEROLE")
    assert of_redis.server.version.product in {"Redis", "Valkey"}
    assert of_redis.rights == ("ACL SETUSER",)
    for probe in (of_postgres, of_redis):
        assert probe.faults == ()
        assert probe.latency_ms > 0


def test_a_role_without_rights_is_told_each_of_them(services: Services) -> None:
    """And how to get it; a weak password is noted, and never shown."""
    name, password = f"test_{secrets.token_hex(6)}", "tiny"
    plain = replace(PostgresUrl.parse(services.postgres.url.reveal()), user=name, password=password)

    async def probe() -> None:
        async with postgres(services.postgres.url) as admin:
            await admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
            try:
                found = await probe_postgres(plain, Origin.GIVEN)
            finally:
                await admin.execute(f"DROP ROLE {name}")
        assert [
            f"ALTER ROLE {name} {right}" in fault
            for right, fault in zip(("CREATEDB", "CREATEROLE"), found.faults, strict=True)
        ] == [True, True]
        assert found.rights == ()
        assert "weak" in found.notes[0]
        assert password not in repr(found)

    asyncio.run(probe())


def test_a_redis_that_makes_no_users_is_usable_with_a_note(services: Services) -> None:
    """Whether it does is asked without making one."""
    name, password = f"test_{secrets.token_hex(6)}", secrets.token_hex(12)
    plain = RedisUrl.parse(services.redis.url.reveal()).login(name, password)

    async def probe() -> None:
        async with redis(services.redis.url) as admin:
            rights = ("on", f">{password}", "~*", "&*", "+@all", "-acl|setuser")
            await admin.command("ACL", "SETUSER", name, *rights)
            try:
                for denied in ("-acl|setuser", "-acl"):
                    await admin.command("ACL", "SETUSER", name, denied, "+acl|whoami")
                    found = await probe_redis(plain, Origin.GIVEN)
                    assert found.rights == ()
                    assert found.notes == (SHARED_USER,)
                    assert found.faults == ()
                users = await admin.command("ACL", "USERS")
            finally:
                await admin.command("ACL", "DELUSER", name)
        assert "labkit_probe" not in users

    asyncio.run(probe())
