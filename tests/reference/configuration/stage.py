"""What the tests of the configuration share: variables that hold, and live settings."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from labkit.redaction import Secret
from labkit.reference.configuration.fleet import Fleet
from labkit.reference.configuration.live import LiveConfiguration, live_configuration
from labkit.reference.configuration.loading import Loaded, Loader
from labkit.reference.configuration.overrides import Overrides, OverrideStore
from labkit.reference.configuration.running import Running
from labkit.reference.configuration.worker_config import WorkerConfig
from labkit.reference.data.pool import Pool
from labkit.services.endpoints import Lease

PARTS: Final = "labkit.reference.configuration.parts:ConfigurationParts"
SECRET: Final = "the first secret of these tests"
URL: Final = "postgresql://ann:her-password@db.example:5432/platform"
VARIABLES: Final[Mapping[str, str]] = {"PLATFORM_DATABASE_URL": URL, "PLATFORM_API_SECRET": SECRET}
SERVICES: Final = ("backend", "auth", "analytics")


def load(
    overrides: Overrides | None = None,
    *,
    service: str = "backend",
    environment: str = "test",
    **variables: str,
) -> Loaded:
    """A service's settings, with these variables beside those that it needs."""
    return Loader().load(service, environment, {**VARIABLES, **variables}, overrides or {})


def running(lease: Lease, environment: str = "test") -> Running:
    """How services run on a lease."""
    return Running(PARTS, environment, lease.platform_url, Secret(SECRET))


def config(lease: Lease, service: str = "auth", number: int = 0) -> WorkerConfig:
    """What a process of a service is told."""
    return WorkerConfig(PARTS, service, "test", number, running(lease).variables)


def fleet(lease: Lease, parts: str = PARTS) -> Fleet:
    """One process for auth, two for backend, of these parts."""
    configs = {
        service: [replace(config(lease, service, number), parts=parts) for number in range(count)]
        for service, count in (("auth", 1), ("backend", 2))
    }
    return Fleet(configs)


@asynccontextmanager
async def pool(lease: Lease) -> AsyncIterator[Pool]:
    """The platform's connections."""
    own = Pool(lease.platform_url)
    await own.open()
    try:
        yield own
    finally:
        await own.close()


@asynccontextmanager
async def store(lease: Lease) -> AsyncIterator[OverrideStore]:
    """Where overrides are kept."""
    async with pool(lease) as own:
        yield OverrideStore(own)


@asynccontextmanager
async def live(lease: Lease, environment: str = "test") -> AsyncIterator[LiveConfiguration]:
    """A platform's settings, whose processes end with the block."""
    async with pool(lease) as own:
        configuration = live_configuration(running(lease, environment), own)
        try:
            yield configuration
        finally:
            await configuration.close()
