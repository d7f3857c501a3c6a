"""Notebooks are executed alike by threads and by processes."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from labkit.batch.assignment import Assignment, Performed
from labkit.batch.execution import Ended
from labkit.batch.kernels import KernelPlace
from labkit.errors import KernelUnavailable
from labkit.journal import Ending, Phase, Spent
from labkit.redaction import Redactor, Secret
from labkit.services.endpoints import Services
from tests.batch.runs import (
    check,
    failing,
    notebook,
    outcomes,
    passing,
    planned,
    run_planned,
    things_on,
    variables,
)
from tests.notebook_files import code

EXECUTORS: Final[Mapping[str, Callable[[int], Executor]]] = {
    "threads": ThreadPoolExecutor,
    "processes": partial(ProcessPoolExecutor, mp_context=multiprocessing.get_context("spawn")),
}


@pytest.mark.parametrize("way", EXECUTORS)
def test_any_executor_comes_to_the_same(way: str, tmp_path: Path, own_services: Services) -> None:
    """Two notebooks at once: outcomes, secrets and what is left are as ever."""
    before = things_on(own_services)
    tells = code("import os\nprint(os.environ['SOME_SECRET'])")
    books = [
        notebook(tmp_path / "calm.ipynb", tells, passing("holds")),
        notebook(tmp_path / "wild.ipynb", failing("fails"), check("raises", "1 / 0")),
    ]
    ran = run_planned(
        tmp_path,
        planned(*books),
        environment=variables(own_services, SOME_SECRET="sesame-opens-8841"),
        workers=2,
        make_executor=EXECUTORS[way],
    )
    assert outcomes(ran.notebook("calm")) == {"holds": "passed"}
    assert outcomes(ran.notebook("wild")) == {
        "fails": "failed not-two",
        "raises": "broken exception",
    }
    assert {one.phase for one in ran.notebook("calm").spent} == set(Phase)
    assert ran.files_with("sesame-opens-8841") == []
    assert things_on(own_services) <= before


class Unwilling(ThreadPoolExecutor):
    """Takes no work."""

    def submit(self, *_work: object, **_named: object) -> Future[Any]:
        """Refuse it."""
        raise KernelUnavailable("there is no engine for it")


def test_engine_that_cannot_be_had_is_no_want_of_a_lease(
    tmp_path: Path, services: Services
) -> None:
    """The notebook's end says what was missing."""
    plan = planned(notebook(tmp_path / "calm.ipynb", passing("holds")))
    ran = run_planned(tmp_path, plan, environment=variables(services), make_executor=Unwilling)
    assert ran.notebook("calm").ending is Ending.NO_KERNEL
    assert ran.result.exit_code == 3


def test_what_is_given_and_what_comes_back_can_be_pickled(tmp_path: Path) -> None:
    """A redactor knows its secrets in another process, too."""
    assignment = Assignment(
        source=tmp_path / "a.ipynb",
        output=tmp_path / "b.ipynb",
        parameters={"size": [1, {"two": None}]},
        place=KernelPlace(tmp_path, dict(os.environ), tmp_path),
        redactor=Redactor([Secret("sesame-opens-8841")]),
        deadline_s=1.0,
        grace_s=1.0,
        wire=tmp_path / "wire.sock",
    )
    there = pickle.loads(pickle.dumps(assignment))  # noqa: S301 - made here
    assert there.parameters == assignment.parameters
    assert there.redactor.text("sesame-opens-8841") == "***"
    performed = Performed(Ended(Ending.CELL_ERROR, "why", 3), (Spent(Phase.CELLS, 0.5),))
    assert pickle.loads(pickle.dumps(performed)) == performed  # noqa: S301
