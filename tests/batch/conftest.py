"""Both ways to come by a kernel: what holds of a notebook holds of it in either."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module", params=[False, True], ids=["warm", "cold"])
def cold(request: pytest.FixtureRequest) -> bool:
    """Whether each kernel is started on its own, and none is forked from a warm process."""
    return bool(request.param)
