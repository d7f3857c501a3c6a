"""Both ways to come by a kernel: what holds of a notebook holds of it in either."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

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
