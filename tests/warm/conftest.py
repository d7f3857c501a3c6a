"""One warm process for the tests that do it no harm."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest

from tests.warm.stage import Warm, warmed


@pytest.fixture(scope="package")
def warm() -> Iterator[Warm]:
    """A warm process that these tests share."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        yield runner.run(stack.enter_async_context(warmed()))
        runner.run(stack.aclose())
