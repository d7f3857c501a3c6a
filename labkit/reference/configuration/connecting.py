"""Connections that a service opens by its own settings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

import asyncpg

from labkit.errors import ServiceUnavailable
from labkit.redaction import Redactor
from labkit.reference.configuration.loading import Loaded
from labkit.reference.data.pool import FAILURES

ServiceConnection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_GOODBYE_S: Final = 2.0


@asynccontextmanager
async def connected(service: str, loaded: Loaded) -> AsyncIterator[ServiceConnection]:
    """A connection to the database that the settings name, for the block.

    It shows itself to the server as `service/environment`. Raises `ServiceUnavailable` when the
    server does not let it in, within the settings' own time for a request.
    """
    settings = loaded.settings
    longest_s = settings.request_timeout_ms / 1000
    try:
        connection = await asyncpg.connect(
            loaded.database_url.reveal(),
            timeout=longest_s,
            command_timeout=longest_s,
            statement_cache_size=0,
            server_settings={"application_name": f"{service}/{settings.environment}"},
        )
    except (*FAILURES, TimeoutError) as error:
        told = Redactor(loaded.secrets).text(str(error)) or "no answer in time"
        raise ServiceUnavailable(f"PostgreSQL refuses the service {service}: {told}") from error
    try:
        yield connection
    finally:
        await _part(connection)


async def _part(connection: ServiceConnection) -> None:
    """Say goodbye; a connection that takes too long is cut."""
    try:
        await connection.close(timeout=_GOODBYE_S)
    except (*FAILURES, TimeoutError):
        connection.terminate()
