"""What the tests share: real servers, started once per session unless their URLs are given."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import pytest

from labkit.services.endpoints import Lease, Origin, Services
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


@contextmanager
def _opened(environment: Mapping[str, str], cache: Path) -> Iterator[Services]:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        opening = open_services(environment, cache=cache)
        yield runner.run(stack.enter_async_context(opening))
        runner.run(stack.aclose())


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """A PostgreSQL and a Redis with the rights to make leases on them."""
    with _opened(os.environ, tmp_path_factory.mktemp("cache")) as services:
        yield services


@pytest.fixture(scope="session")
def own_services(
    services: Services, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Services]:
    """Servers that only this process and its children know, for tests that look at all leases.

    On given ones others take and sweep leases meanwhile, such as another worker of these tests.
    """
    if {services.postgres.version.origin, services.redis.version.origin} == {Origin.EMBEDDED}:
        yield services
        return
    environment = {**os.environ, POSTGRES_URL: "", REDIS_URL: ""}
    with _opened(environment, tmp_path_factory.mktemp("cache")) as own:
        yield own


@pytest.fixture
def lease(services: Services) -> Iterator[Lease]:
    """An empty database and an empty namespace of the test's own."""
    with asyncio.Runner() as runner:
        holder = LeaseHolder(services)
        yield runner.run(holder.take())
        runner.run(holder.__aexit__(None, None, None))


@pytest.fixture
def socket_folder() -> Iterator[Path]:
    """A private folder for sockets, whose paths must be short; `tmp_path` may be a long one."""
    with tempfile.TemporaryDirectory(prefix="lk-", dir="/tmp") as name:
        yield Path(name)
