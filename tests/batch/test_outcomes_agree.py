"""The same notebook has the same outcomes, whoever executes it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest

from labkit.records import CheckRecord
from labkit.reports.document import read_document
from labkit.services.endpoints import Services
from tests.batch.runs import check, failing, notebook, outcomes, passing, run, things_on, variables

DEADLINE_S: Final = 180.0

RUN_ALL: Final = """
import sys
import nbformat
from nbclient import NotebookClient
source, output, folder = sys.argv[1:]
notebook = nbformat.read(source, as_version=4)
client = NotebookClient(notebook, resources={"metadata": {"path": folder}})
try:
    client.execute()
finally:
    nbformat.write(notebook, output)
"""
"""What JupyterLab's Run All does: cell after cell, in the folder of the notebook."""

SIZED: Final = check("is_sized", 'check.equal(size, 1, "size", reason="other")')
BOOKS: Final = {
    "green": [passing("holds"), SIZED],
    "red": [
        failing("fails"),
        check("compares_nothing", "pass"),
        check("raises", "1 / 0"),
        check("blocks", "import time\ntime.sleep(300)", deadline_s=0.2),
        check("leaves_a_task", "task = asyncio.create_task(asyncio.sleep(300))\nimport asyncio"),
        SIZED,
    ],
}


def executed(commands: Mapping[Path, Sequence[str]], environment: Mapping[str, str]) -> list[int]:
    """The exit codes of some processes, side by side."""
    started = [
        subprocess.Popen(argv, env=dict(environment), stderr=subprocess.DEVNULL)
        for argv in commands.values()
    ]
    try:
        return [process.wait(DEADLINE_S) for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()


def recorded(path: Path) -> dict[str, str]:
    """Outcome and reason of each check that wrote its record into a notebook."""
    records = [record for _, record in read_document(path).records()]
    return {
        record.name: f"{record.outcome} {record.reason}".strip()
        for record in records
        if isinstance(record, CheckRecord)
    }


@pytest.mark.parametrize("name", BOOKS)
def test_every_way_to_run_a_notebook_agrees(
    name: str, tmp_path: Path, own_services: Services
) -> None:
    """`labkit run` both ways, papermill with its engine and with ours, and Run All: one verdict."""
    before = things_on(own_services)
    book = notebook(tmp_path / f"{name}.ipynb", *BOOKS[name])
    environment = variables(own_services)
    papermill = [sys.executable, "-m", "papermill", "--no-progress-bar", str(book)]
    plain, ours, all_cells = (tmp_path / f"{way}.ipynb" for way in ("plain", "ours", "all"))
    commands = {
        plain: [*papermill, str(plain), "-p", "size", "1"],
        ours: [*papermill, str(ours), "--engine", "labkit", "-p", "size", "1"],
        all_cells: [sys.executable, "-c", RUN_ALL, str(book), str(all_cells), str(tmp_path)],
    }
    codes = executed(commands, environment)
    warm, cold = (
        run(tmp_path, book, environment=environment, texts=(("size", "1"),), cold=cold)
        for cold in (False, True)
    )
    told = outcomes(warm.notebook(name))
    assert outcomes(cold.notebook(name)) == told
    assert set(told) == {cell.source.split('"')[1] for cell in BOOKS[name]}
    assert {path.name: recorded(path) for path in commands} == {
        path.name: told for path in commands
    }
    assert [code != 0 for code in codes] == [warm.result.exit_code != 0] * 3
    assert cold.result.exit_code == warm.result.exit_code
    assert things_on(own_services) <= before
