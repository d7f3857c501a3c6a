"""Servers say what they are."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from labkit.errors import ServiceUnavailable
from labkit.services.embedded import embedded_services
from labkit.services.endpoints import Origin
from labkit.services.urls import Host, PostgresUrl, RedisUrl
from labkit.services.versions import greet_postgres, greet_redis, major


def test_servers_are_greeted_at_their_urls(tmp_path: Path) -> None:
    """A greeting gives the server at a URL, with the product and version it tells, as given."""

    async def scenario() -> None:
        async with embedded_services(tmp_path, environment=os.environ) as services:
            postgres = PostgresUrl.parse(services.postgres.url.reveal())
            redis = RedisUrl.parse(services.redis.url.reveal())
            greeted = await greet_postgres(postgres, Origin.GIVEN)
            assert greeted.version == replace(services.postgres.version, origin=Origin.GIVEN)
            assert greeted.url == services.postgres.url
            met = await greet_redis(redis, Origin.GIVEN)
            assert met.version == replace(services.redis.version, origin=Origin.GIVEN)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("version", "first"), [("18.4", 18), ("19beta1", 19), ("7.0.15", 7), ("devel", 0)]
)
def test_first_number_of_a_version(version: str, first: int) -> None:
    """Also of one that is not released yet."""
    assert major(version) == first


def test_where_nobody_listens_is_an_error(tmp_path: Path) -> None:
    """A server that is not there is unavailable."""
    with pytest.raises(ServiceUnavailable, match="cannot log in to PostgreSQL"):
        asyncio.run(greet_postgres(PostgresUrl((Host(str(tmp_path), 5432),)), Origin.GIVEN))
    with pytest.raises(ServiceUnavailable, match="cannot log in to Redis"):
        asyncio.run(greet_redis(RedisUrl(Host(str(tmp_path / "redis.sock"))), Origin.GIVEN))
