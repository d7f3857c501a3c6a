"""A service connects by its own settings, and shows itself."""

from __future__ import annotations

import pytest

from labkit.errors import ServiceUnavailable
from labkit.reference.configuration.connecting import connected
from labkit.services.endpoints import Lease
from tests.reference.configuration.stage import load
from tests.reference.stage import asynchronous, witness

_THERE = "select count(*) from pg_stat_activity where application_name = $1 and usename = $2"


@asynchronous
async def test_a_connection_is_there_for_the_block(installed: Lease) -> None:
    """The server shows it under the name of service and environment, and not afterwards."""
    settings = load(
        environment="staging", service="auth", PLATFORM_DATABASE_URL=installed.platform_url.reveal()
    )
    sought = ("auth/staging", installed.platform_role)
    async with witness(installed) as owner:
        async with connected("auth", settings) as connection:
            assert await connection.fetchval("select current_user") == installed.platform_role
            assert await owner.fetchval(_THERE, *sought) == 1
        while await owner.fetchval(_THERE, *sought):
            pass


@asynchronous
async def test_a_server_that_refuses_is_told_without_the_password(installed: Lease) -> None:
    """The platform's own error, with the service's name."""
    url = installed.platform_url.reveal().replace(installed.platform_role, "nobody_labkit")
    with pytest.raises(ServiceUnavailable, match="refuses the service backend: ") as refusal:
        async with connected("backend", load(PLATFORM_DATABASE_URL=url)):
            pass
    assert url not in str(refusal.value)


@asynchronous
async def test_a_server_that_is_not_there_is_told() -> None:
    """Nobody listens at the port."""
    settings = load(PLATFORM_DATABASE_URL="postgresql://ann@127.0.0.1:1/platform")
    with pytest.raises(ServiceUnavailable, match="refuses the service backend"):
        async with connected("backend", settings):
            pass
