"""A plain script runs all cells of notebooks, with their awaits, in one process."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import plain_script
from tests.notebook_files import code, markdown, write


def test_cells_share_their_names_and_await(tmp_path: Path) -> None:
    """From top to bottom, and texts are no cells to run."""
    out = tmp_path / "out"
    cells = (
        code("import asyncio\nfrom pathlib import Path\nx = 1"),
        markdown("x = 2"),
        code("await asyncio.sleep(0)\nx += 10"),
        code(f"Path({str(out)!r}).write_text(str(x))"),
    )
    assert asyncio.run(plain_script.run_cells(write(tmp_path / "a.ipynb", *cells))) == 3
    assert out.read_text() == "11"


def test_notebooks_share_nothing(tmp_path: Path) -> None:
    """A name of the first is not there in the second; the error tells its cell."""
    first = write(tmp_path / "first.ipynb", code("x = 1"))
    second = write(tmp_path / "second.ipynb", code("1"), code("x"))
    with pytest.raises(NameError, match="x") as caught:
        asyncio.run(plain_script.main([str(first), str(second)]))
    assert caught.traceback[-1].path == "second.ipynb, code cell 2"


def test_it_tells_last_how_many_cells_ran(green: Path, red: Path) -> None:
    """As JSON by notebook; with a cell that raises it fails, and says nothing."""

    def ran(notebook: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-P", plain_script.__file__, str(notebook)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert json.loads(ran(green).stdout.splitlines()[-1]) == {"green.ipynb": 2}
    failed = ran(red)
    assert (failed.returncode, failed.stdout) == (1, "")
