"""What the tests share: real servers, started once per session unless their URLs are given."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest

from labkit.services.endpoints import Lease, Services
from labkit.services.given import POSTGRES_URL, REDIS_URL
from labkit.services.leases import LeaseHolder
from labkit.services.open import open_services


def pytest_report_header() -> str:
    """Which servers the tests stand on."""
    origins = [
        f"{product} {f'given by {name}' if os.environ.get(name) else 'embedded'}"
        for product, name in (("PostgreSQL", POSTGRES_URL), ("Redis", REDIS_URL))
    ]
    return f"services: {', '.join(origins)}"


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """A PostgreSQL and a Redis with the rights to make leases on them."""
    cache = tmp_path_factory.mktemp("cache")
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        opening = open_services(dict(os.environ), cache=cache)
        yield runner.run(stack.enter_async_context(opening))
        runner.run(stack.aclose())


@pytest.fixture
def lease(services: Services) -> Iterator[Lease]:
    """An empty database and an empty namespace of the test's own."""
    with asyncio.Runner() as runner:
        holder = LeaseHolder(services)
        yield runner.run(holder.take())
        runner.run(holder.__aexit__(None, None, None))
