"""Variables with which commands are started: on servers of their own, or on those of the tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from labkit.services.endpoints import Services
from labkit.services.supervisor import down
from tests.command_line import variables


@pytest.fixture(scope="package")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """Variables with which the command starts servers of its own; none is held afterwards."""
    cache = tmp_path_factory.mktemp("cache")
    yield variables(cache)
    down(cache)


@pytest.fixture(scope="package")
def given(own: Mapping[str, str], services: Services) -> Mapping[str, str]:
    """Variables with which the command uses the servers of the tests."""
    return {
        **own,
        "LABKIT_POSTGRES_URL": services.postgres.url.reveal(),
        "LABKIT_REDIS_URL": services.redis.url.reveal(),
    }
