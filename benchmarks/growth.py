"""What one execution more costs, when there were many before: time, memory, descriptors.

    python -m benchmarks.growth EXECUTIONS NOTEBOOK

executes the notebook so many times through warm kernels, in processes that did nothing before, and
tells what that took as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Final

from nbformat import write
from nbformat.v4 import new_code_cell, new_notebook

from benchmarks.execute import execute, warm_ground
from benchmarks.results import Checks, Footprint, Growth
from benchmarks.stage import own_seconds, stage
from labkit.records import from_json
from labkit.usage import usage_of_children

_FIRST: Final = 3
"""Executions that are not counted: the first ones import and allocate what the others use."""
_WARM: Final = "-m labkit.warm.process"
_CHECK: Final = "async with lab.check("


async def growth(notebook: Path, executions: int, *, environment: Mapping[str, str]) -> Growth:
    """Measure so many executions, in new processes."""
    with stage([notebook], environment) as place:
        command = (sys.executable, "-P", "-m", "benchmarks.growth", str(executions))
        await place.seconds_of(*command, str(*place.notebooks))
        return from_json(Growth, json.loads(place.log.splitlines()[-1]))


async def checks(count: int, *, environment: Mapping[str, str]) -> Checks:
    """Measure a notebook with so many checks, by `labkit run`."""
    with tempfile.TemporaryDirectory() as folder:
        notebook = Path(folder) / "many_checks.ipynb"
        write(_many_checks(count), notebook)
        with stage([notebook], environment) as place:
            await place.seconds_of(sys.executable, "-P", "-m", "labkit", "run")
            executed = place.outputs / "latest" / notebook.name
            return Checks(count, own_seconds(executed, begins=_CHECK))


def _many_checks(count: int) -> object:
    opening = 'from labkit.lab import Lab\n\nlab = await Lab.open("many_checks")'
    sources = [
        f'{_CHECK}"check_{number}", "One is one") as check:\n'
        '    check.equal(1, 1, "one", reason="not-one")'
        for number in range(count)
    ]
    parameters = new_code_cell('environment: str = "test"', metadata={"tags": ["parameters"]})
    cells = [new_code_cell(source) for source in (opening, *sources, "await lab.close()")]
    return new_notebook(cells=[parameters, *cells])


async def _grow(executions: int, notebook: Path) -> Growth:
    async with warm_ground() as ground:
        outputs = notebook.parent.parent / "outputs"
        [warm] = [one.pid for one in usage_of_children() if one.command == _WARM]
        for _ in range(_FIRST):
            await execute(ground, [notebook], outputs, at_once=1)
        before, busy_s = (footprint(os.getpid()), footprint(warm)), _processor_s(warm)
        began_s = time.perf_counter()
        for _ in range(executions):
            await execute(ground, [notebook], outputs, at_once=1)
        seconds = time.perf_counter() - began_s
        own_seconds(outputs / notebook.name)
        driver, warm_one = zip(before, (footprint(os.getpid()), footprint(warm)), strict=True)
        return Growth(executions, seconds, _processor_s(warm) - busy_s, driver, warm_one)


def footprint(pid: int) -> Footprint:
    """What the process holds now, as Linux tells it."""
    folder = Path("/proc") / str(pid)
    memory = (folder / "smaps_rollup").read_text()
    told = dict(re.findall(r"^(\w+): +(\d+) kB$", memory, re.MULTILINE))
    descriptors = len(list((folder / "fd").iterdir()))
    return Footprint(1024 * int(told["Rss"]), 1024 * int(told["Pss"]), descriptors)


def _processor_s(warm: int) -> float:
    """What this process has used, and the warm one with all its kernels that have ended."""
    fields = (Path("/proc") / str(warm) / "stat").read_text().rpartition(")")[2].split()
    return time.process_time() + sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    grown = asyncio.run(_grow(int(sys.argv[1]), Path(sys.argv[2])))
    print(json.dumps(asdict(grown)))  # noqa: T201 - the answer of this program
