"""Both ways to come by a kernel, of which the same must hold, and what stood before a run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from labkit.services.endpoints import Services
from tests.batch.runs import things_on
from tests.warm.stage import warmed


@pytest.fixture(scope="module", params=[False, True], ids=["warm", "cold"])
def cold(request: pytest.FixtureRequest) -> bool:
    """Whether each kernel is started on its own, and none is forked from a warm process."""
    return bool(request.param)


@pytest.fixture(scope="module")
def door(cold: bool) -> Iterator[Path | None]:
    """Where a warm process listens; None for kernels that start cold."""
    if cold:
        yield None
        return
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        yield runner.run(stack.enter_async_context(warmed())).door
        runner.run(stack.aclose())


@pytest.fixture(scope="module")
def before(own_services: Services) -> frozenset[str]:
    """What stood on the servers before any run of the module."""
    return things_on(own_services)
