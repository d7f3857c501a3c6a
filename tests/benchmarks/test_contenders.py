"""Every way to execute notebooks executes them, and none is fast by failing.

nbmake is no dependency of the tests, so its own way can only fail here.
"""

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest

from benchmarks.__main__ import urls_of
from benchmarks.contenders import (
    LABKIT,
    NBMAKE,
    PAPERMILL,
    SCRIPT,
    SCRIPT_WARM,
    WARM_ONE,
    WARM_TWO,
    WHOLE,
    Contender,
    Took,
    lab_contenders,
    plain_contenders,
)
from benchmarks.execute import warm_ground
from benchmarks.stage import stage
from labkit.errors import InfrastructureError
from labkit.services.endpoints import Services
from tests.command_line import FAILING, PASSING, variables
from tests.notebook_files import code, write

PLAIN: Final = (WARM_ONE, WARM_TWO, WHOLE)
LAB: Final = (LABKIT, PAPERMILL, SCRIPT, SCRIPT_WARM)


async def _execute(
    contenders: Sequence[Contender], name: str, notebook: Path, environment: Mapping[str, str]
) -> Took:
    [contender] = [one for one in contenders if one.name == name]
    with stage([notebook], environment) as place:
        return await contender.execute(place)


def _plain(name: str, notebook: Path) -> Took:
    async def go() -> Took:
        async with warm_ground() as ground:
            return await _execute(plain_contenders(ground), name, notebook, os.environ)

    return asyncio.run(go())


def _lab(name: str, notebook: Path, environment: Mapping[str, str]) -> Took:
    async def go() -> Took:
        async with warm_ground() as ground:
            return await _execute(lab_contenders(ground), name, notebook, environment)

    return asyncio.run(go())


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_notebook_is_executed(name: str, green: Path) -> None:
    """Its cells' own time is a part of the whole."""
    took = _plain(name, green)
    assert took.cells_s is not None
    assert 0 < took.cells_s < took.seconds


@pytest.fixture
def served(services: Services, tmp_path: Path) -> dict[str, str]:
    """The environment of a contender, with servers."""
    return variables(tmp_path / "cache", **urls_of(services))


def _lab_notebook(folder: Path, check: str) -> Path:
    opening = 'from labkit.lab import Lab\nlab = await Lab.open("area")'
    cells = ('environment: str = "test"', opening, check, "await lab.close()")
    tagged = code(cells[0], "parameters")
    return write(folder / "area.ipynb", tagged, *map(code, cells[1:]))


@pytest.mark.parametrize("name", LAB)
def test_a_notebook_of_the_lab_is_executed(
    name: str, served: dict[str, str], tmp_path: Path
) -> None:
    """On the servers that it was given; only who writes a notebook tells the cells' own time."""
    notebook = _lab_notebook(tmp_path, PASSING)
    took = _lab(name, notebook, served)
    assert took.seconds > 0
    assert (took.cells_s is None) == (name in {SCRIPT, SCRIPT_WARM})
    assert len(took.waits_s) == (1 if name == LABKIT else 0)


@pytest.mark.parametrize("name", [*LAB, NBMAKE])
def test_a_red_check_has_no_time(name: str, served: dict[str, str], tmp_path: Path) -> None:
    """A check that fails makes every contender fail."""
    notebook = _lab_notebook(tmp_path, FAILING)
    with pytest.raises(InfrastructureError, match="ended with status"):
        _lab(name, notebook, served)


def test_a_script_that_ended_early_has_no_time(tmp_path: Path) -> None:
    """Exit code 0 is not enough: it must have run as many cells as there are."""
    notebook = write(tmp_path / "early.ipynb", code("print('{}', flush=True)\nraise SystemExit(0)"))
    with pytest.raises(InfrastructureError, match=r"ran \{\} cells, not \{'early.ipynb': 1\}"):
        _lab(SCRIPT, notebook, os.environ)


def test_a_kernel_that_ended_early_has_no_time(tmp_path: Path) -> None:
    """A cell that was not sent, since the one before had ended the kernel, is missed."""
    notebook = write(tmp_path / "early.ipynb", code("1"), code("exit()"), code("2"))
    with pytest.raises(InfrastructureError, match=r"numbered \[1, 2, None\]"):
        _plain(WARM_ONE, notebook)
