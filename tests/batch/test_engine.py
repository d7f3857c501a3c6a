"""The engine, on notebooks without a lab: what it marks, and how it ends early."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import nbformat
import papermill
import pytest
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError

from labkit.batch.execution import Ended, Execution
from labkit.batch.kernels import KernelPlace
from labkit.errors import KernelUnavailable
from labkit.journal import Ending
from labkit.redaction import Redactor, Secret
from tests.batch.runs import AWAITS, BLOCKS, GRACE_S, SECRET, Nobody
from tests.notebook_files import code, markdown, write

RESISTS: Final = """
import time
while True:
    try:
        time.sleep(300)
    except BaseException:
        pass"""

_ERRORS: Final = (PapermillExecutionError, DeadKernelError, KernelUnavailable)


class Stage:
    """Where the notebooks of a test are executed."""

    def __init__(self, root: Path, folder: Path, door: Path | None) -> None:
        self.root = root
        self._folder = folder
        self._door = door

    def execution(self, **variables: str) -> Execution:
        """An execution of the next notebook."""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables}
        place = KernelPlace(self._folder, environment, self.root, self._door)
        return Execution(
            place, Nobody(), redactor=Redactor([Secret(SECRET)]), grace_s=GRACE_S, deadline_s=60.0
        )

    def execute(self, execution: Execution, *cells: NotebookNode) -> Ended:
        """How the notebook ended; its executed form is in `cells`."""
        source = write(self.root / "source.ipynb", *cells)
        with contextlib.suppress(*_ERRORS):
            papermill.execute_notebook(
                source,
                self.root / "executed.ipynb",
                engine_name="labkit",
                progress_bar=False,
                execution=execution,
            )
        assert execution.ended is not None
        return execution.ended

    @property
    def statuses(self) -> list[str]:
        """The marks of papermill on the cells, without the cell in which it shows an error."""
        cells = nbformat.read(self.root / "executed.ipynb", as_version=4).cells
        tag = "papermill-error-cell-tag"
        return [cell.metadata.papermill.status for cell in cells if tag not in cell.metadata.tags]

    @property
    def text(self) -> str:
        """The executed notebook as it is in the file."""
        return (self.root / "executed.ipynb").read_text()


@pytest.fixture
def stage(door: Path | None, tmp_path: Path) -> Iterator[Stage]:
    """A folder for notebooks, and one whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="lk-") as folder:
        yield Stage(tmp_path, Path(folder), door)


@pytest.mark.parametrize(
    ("source", "ended", "statuses"),
    [
        ("1", Ended(Ending.REACHED_THE_END), ["completed"] * 3),
        (
            f"raise ValueError('{SECRET}')",
            Ended(Ending.CELL_ERROR, "cell 1 raised ValueError: ***", 1),
            ["completed", "failed", "pending"],
        ),
        (
            "import os; os._exit(3)",
            Ended(Ending.KERNEL_DIED, "the kernel died in cell 1", 1),
            ["completed", "failed", "pending"],
        ),
        (
            "exit()",
            Ended(Ending.STOPPED_EARLY, "cell 1 called exit()", 1),
            ["completed", "completed", "pending"],
        ),
    ],
)
def test_a_cell_that_was_not_reached_is_not_called_completed(
    source: str, ended: Ended, statuses: list[str], stage: Stage
) -> None:
    """The marks of papermill agree with what happened, and the ending names the cell."""
    assert stage.execute(stage.execution(), markdown("# A"), code(source), code("2")) == ended
    assert stage.statuses == statuses


def test_an_empty_cell_after_the_verdict_is_no_cell_that_was_missed(stage: Stage) -> None:
    """A notebook that ends with the verdict reached its end, whatever an editor leaves there."""
    verdict = code("from labkit.errors import NotGreen\nraise NotGreen('red')")
    ended = stage.execute(stage.execution(), verdict, code(""), code("1", "skip-execution"))
    assert ended.ending is Ending.REACHED_THE_END
    assert stage.execute(stage.execution(), verdict, code("1")).ending is Ending.CELL_ERROR


@pytest.mark.parametrize(
    "waiting",
    [
        AWAITS,
        BLOCKS,
        RESISTS,
    ],
)
def test_a_cell_outside_of_checks_gives_way_to_a_stop(waiting: str, stage: Stage) -> None:
    """Awaiting, blocking or resisting: the execution ends, and says in which cell."""
    execution = stage.execution()
    os.mkfifo(stage.root / "began")

    def stop() -> None:
        with (stage.root / "began").open() as began:
            began.read()
        execution.stop(Ending.CANCELLED)

    stopping = threading.Thread(target=stop)
    stopping.start()
    ended = stage.execute(execution, code(f'open("began", "w").close()\n{waiting}'), code("1"))
    stopping.join()
    assert ended == Ended(Ending.CANCELLED, "the run was cancelled in cell 0", 0)
    assert stage.statuses == ["failed", "pending"]


def test_a_stop_before_the_start_runs_no_cell(stage: Stage) -> None:
    """It is not lost while the kernel starts."""
    execution = stage.execution()
    execution.stop(Ending.CANCELLED)
    ended = stage.execute(execution, code('open("ran", "w")'))
    assert ended.ending is Ending.CANCELLED
    assert not (stage.root / "ran").exists()


@pytest.mark.parametrize("there_is_a_folder", [True, False])
def test_a_kernel_that_does_not_start_is_infrastructure(
    there_is_a_folder: bool, stage: Stage
) -> None:
    """Its program ends at once, or there is nowhere to run it: no cell is blamed."""
    profile = stage.root / "profile_default"
    profile.mkdir()
    (profile / "ipython_kernel_config.py").write_text("raise SystemExit(3)")
    execution = stage.execution(IPYTHONDIR=str(stage.root))
    if not there_is_a_folder:
        execution.place = replace(execution.place, working_folder=stage.root / "nowhere")
    ended = stage.execute(execution, code("1"))
    assert ended.ending is Ending.NO_KERNEL
    assert "run labkit doctor" in ended.detail
    assert ended.cell is None


def test_what_no_notebook_can_hold_is_left_out_and_told(stage: Stage) -> None:
    """The cell goes on, and secrets stay masked in what is told."""
    odd = code(
        f'display({{"image/png": None, "text/plain": "{SECRET[:6]}" "{SECRET[6:]}"}}, raw=True)'
    )
    assert stage.execute(stage.execution(), odd, code("1")).ending is Ending.REACHED_THE_END
    assert "labkit left out an output that no notebook can hold" in stage.text
    assert SECRET not in stage.text
