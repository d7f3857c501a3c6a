"""The services of a run come from the first place that has them."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from labkit.errors import HostRefused, LeaseError, ServiceUnavailable
from labkit.services.endpoints import Origin, Services
from labkit.services.given import POSTGRES_URL, REDIS_URL
from labkit.services.leases import lease
from labkit.services.open import open_services, standing_servers
from labkit.services.supervisor import down, up
from labkit.services.urls import PostgresUrl
from tests.services.test_leases import postgres, traces


def _environment(services: Services | None, *names: str) -> dict[str, str]:
    """The environment without servers, or with the named ones given."""
    urls: Mapping[str, str] = {}
    if services is not None:
        urls = {
            POSTGRES_URL: services.postgres.url.reveal(),
            REDIS_URL: services.redis.url.reveal(),
        }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LABKIT_")}
    return kept | {name: urls[name] for name in names}


async def _origins(environment: Mapping[str, str], cache: Path) -> list[str]:
    """Where the servers come from, once a lease on them has worked and is gone."""
    async with open_services(environment, cache=cache) as opened:
        async with lease(opened) as taken, postgres(taken.platform_url):
            pass
        assert await traces(opened, taken.id) == []
    return [server.version.origin for server in (opened.postgres, opened.redis)]


@pytest.mark.parametrize("names", [(), (POSTGRES_URL,), (REDIS_URL,), (POSTGRES_URL, REDIS_URL)])
def test_each_service_is_the_given_one_or_embedded(
    services: Services, tmp_path: Path, names: tuple[str, ...]
) -> None:
    """The two are found independently, and leases on a mixture work."""
    expected = [
        Origin.GIVEN if name in names else Origin.EMBEDDED for name in (POSTGRES_URL, REDIS_URL)
    ]
    assert asyncio.run(_origins(_environment(services, *names), tmp_path)) == expected


def test_a_given_server_goes_before_a_shared_one(services: Services, tmp_path: Path) -> None:
    """And a shared one before one of the run's own."""
    environment = _environment(None)
    up(tmp_path, environment=environment)
    try:
        shared = asyncio.run(_origins(environment, tmp_path))
        mixed = asyncio.run(_origins(_environment(services, POSTGRES_URL), tmp_path))
    finally:
        down(tmp_path)
    assert shared == [Origin.SHARED, Origin.SHARED]
    assert mixed == [Origin.GIVEN, Origin.SHARED]


def test_a_far_server_is_refused_before_anything_starts(tmp_path: Path) -> None:
    """Unless it was allowed, by argument or setting."""
    environment = {REDIS_URL: "redis://db.example"}
    with pytest.raises(HostRefused, match="LABKIT_REDIS_URL"):
        standing_servers(environment, cache=tmp_path)
    allowed = standing_servers(environment, cache=tmp_path, allow_hosts=["db.example"])
    assert (allowed.redis_origin, allowed.postgres_origin) == (Origin.GIVEN, Origin.EMBEDDED)
    by_setting = environment | {"LABKIT_ALLOW_HOST": "db.example"}
    assert standing_servers(by_setting, cache=tmp_path) == allowed


def test_a_given_server_that_is_away_is_not_replaced(tmp_path: Path) -> None:
    """A run never goes elsewhere than it was told."""
    environment = _environment(None) | {POSTGRES_URL: "postgresql://u:p@127.0.0.1:1/d"}
    with pytest.raises(ServiceUnavailable, match=r"127\.0\.0\.1:1"):
        asyncio.run(_origins(environment, tmp_path))


def test_a_given_role_without_rights_is_refused(services: Services, tmp_path: Path) -> None:
    """With what it lacks."""
    name, password = f"test_{secrets.token_hex(6)}", secrets.token_hex(12)
    plain = replace(PostgresUrl.parse(services.postgres.url.reveal()), user=name, password=password)
    environment = _environment(services, REDIS_URL) | {POSTGRES_URL: plain.secret.reveal()}

    async def start() -> None:
        async with postgres(services.postgres.url) as admin:
            await admin.execute(f"CREATE ROLE {name} LOGIN CREATEDB PASSWORD '{password}'")
            try:
                with pytest.raises(LeaseError, match=f"ALTER ROLE {name} CREATEROLE"):
                    await _origins(environment, tmp_path)
            finally:
                await admin.execute(f"DROP ROLE {name}")

    asyncio.run(start())
