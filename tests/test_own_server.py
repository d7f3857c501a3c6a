"""A PostgreSQL of a check's own is killed for real, and comes back with what it acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from labkit.errors import ServiceUnavailable
from labkit.ids import UserID
from labkit.own_server import own_server
from labkit.reference import Platform
from labkit.reference.sabotage.data import AcknowledgesTooEarly
from labkit.services.endpoints import Lease


@pytest.fixture
def environment(tmp_path: Path) -> Mapping[str, str]:
    """An environment with a cache of the test's own, and no other place for programs."""
    return {"LABKIT_CACHE_DIR": str(tmp_path / "cache"), "PATH": ""}


async def survivors(
    lease: Lease, platform: type[Platform], environment: Mapping[str, str]
) -> tuple[bool, int]:
    """Whether the server was started anew after a kill, and how many of one user are left."""
    user = UserID.new()
    async with own_server(lease, platform, environment) as server:
        assert server.lease.owner_url != lease.owner_url
        assert server.lease.redis_url == lease.redis_url
        async with server.target() as target:
            await target.data.create_user(user)
            assert await server.crash() > 1
        restarted = await server.restart()
        async with server.witness() as witness:
            return restarted, await witness.count(target.tables.users, "id = $1", user)


def test_acknowledged_rows_survive(lease: Lease, environment: Mapping[str, str]) -> None:
    """What was committed before all processes were killed is there after another start."""
    assert asyncio.run(survivors(lease, Platform, environment)) == (True, 1)


def test_rows_acknowledged_too_early_do_not(lease: Lease, environment: Mapping[str, str]) -> None:
    """A commit that did not wait for the disk is lost, so that the kill is seen to be one."""
    assert asyncio.run(survivors(lease, AcknowledgesTooEarly, environment)) == (True, 0)


def test_a_dead_server_does_not_answer(lease: Lease, environment: Mapping[str, str]) -> None:
    """After the crash nobody gets in, and there is nothing left to crash."""

    async def run() -> None:
        async with own_server(lease, Platform, environment) as server:
            await server.crash()
            with pytest.raises(ServiceUnavailable):
                await server.witness().__aenter__()
            with pytest.raises(ServiceUnavailable, match="ended before"):
                await server.crash()

    asyncio.run(run())


def test_the_given_lease_is_not_touched(lease: Lease, environment: Mapping[str, str]) -> None:
    """The target's schema is made on the check's own server and on no other."""

    async def run() -> None:
        async with own_server(lease, Platform, environment) as server, server.witness() as own:
            assert await own.count("users") == 0
            assert await own.value("select current_database()") == server.lease.database
            assert server.lease.database != lease.database

    asyncio.run(run())
