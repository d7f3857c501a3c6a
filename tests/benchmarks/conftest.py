"""What the tests of the benchmarks share."""

from pathlib import Path

import pytest

from tests.notebook_files import code, write


@pytest.fixture
def green(tmp_path: Path) -> Path:
    """A notebook of two cells that pass."""
    return write(tmp_path / "green.ipynb", code("import asyncio"), code("await asyncio.sleep(0)"))


@pytest.fixture
def red(tmp_path: Path) -> Path:
    """A notebook whose second cell raises."""
    return write(tmp_path / "red.ipynb", code("x = 1"), code("raise ValueError('red')"), code("x"))
