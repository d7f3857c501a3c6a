"""Notebooks are executed through labkit's batch layer, by warm kernels, or it is an error."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from papermill.exceptions import PapermillExecutionError

from benchmarks import execute
from benchmarks.stage import own_seconds
from tests.notebook_files import code, write

PARENT = "import os\nopen('/proc/%d/cmdline' % os.getppid()).read().split('\\0')"


def test_a_kernel_is_forked_from_the_warm_process(tmp_path: Path) -> None:
    """Its parent is the process that imported everything once; two are executed at a time."""
    notebooks = [write(tmp_path / f"{name}.ipynb", code(PARENT)) for name in ("one", "two")]
    outputs = tmp_path / "outputs"
    outputs.mkdir()

    async def go() -> None:
        async with execute.warm_ground() as ground:
            await execute.execute(ground, notebooks, outputs, at_once=2)

    asyncio.run(go())
    for notebook in notebooks:
        [cell] = json.loads((outputs / notebook.name).read_text())["cells"]
        assert "labkit.warm.process" in "".join(cell["outputs"][0]["data"]["text/plain"])


def test_a_red_notebook_is_an_error(green: Path, red: Path, tmp_path: Path) -> None:
    """What papermill raises comes through; the others are executed."""
    outputs = tmp_path / "outputs"
    outputs.mkdir()

    async def go() -> None:
        async with execute.warm_ground() as ground:
            await execute.execute(ground, [green, red], outputs, at_once=1)

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(go())
    assert caught.group_contains(PapermillExecutionError, match="red")
    assert own_seconds(outputs / green.name) > 0


def _command(*notebooks: Path, outputs: Path) -> subprocess.CompletedProcess[str]:
    outputs.mkdir()
    return subprocess.run(
        [sys.executable, "-P", execute.__file__, str(outputs), *map(str, notebooks)],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_command_leaves_executed_notebooks(green: Path, tmp_path: Path) -> None:
    """Exit code 0, and every cell in the output was executed."""
    ran = _command(green, outputs=tmp_path / "outputs")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert own_seconds(tmp_path / "outputs" / green.name) > 0


def test_the_command_fails_with_a_notebook(red: Path, tmp_path: Path) -> None:
    """Exit code 1, and the cell's error is told."""
    ran = _command(red, outputs=tmp_path / "outputs")
    assert ran.returncode == 1
    assert "ValueError: red" in ran.stderr
