"""Where the kernels of the tests find their servers."""

import os
from collections.abc import Mapping

import pytest

from labkit.services.endpoints import Services
from labkit.services.given import POSTGRES_URL, REDIS_URL


@pytest.fixture(scope="module")
def variables(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """The environment of kernels on the tests' servers."""
    return {
        **os.environ,
        POSTGRES_URL: services.postgres.url.reveal(),
        REDIS_URL: services.redis.url.reveal(),
        "LABKIT_CACHE_DIR": str(tmp_path_factory.mktemp("cache")),
    }
