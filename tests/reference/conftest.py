"""The leases on which the platform is tested."""

import asyncio
from collections.abc import Iterator

import pytest

from labkit.reference import Platform
from labkit.services.endpoints import Lease, Services
from labkit.services.leases import LeaseHolder


@pytest.fixture(scope="session")
def installed(services: Services) -> Iterator[Lease]:
    """A lease with the platform's schema; every test has users of its own on it."""
    with asyncio.Runner() as runner:
        holder = LeaseHolder(services)
        lease = runner.run(holder.take())
        runner.run(Platform.install(lease))
        yield lease
        runner.run(holder.__aexit__(None, None, None))


@pytest.fixture
def copied(services: Services, installed: Lease) -> Iterator[Lease]:
    """A lease cloned from the installed one."""
    with asyncio.Runner() as runner:
        holder = LeaseHolder(services)
        yield runner.run(holder.take(template=installed))
        runner.run(holder.__aexit__(None, None, None))
