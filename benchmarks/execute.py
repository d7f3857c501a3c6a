"""Executes notebooks by labkit's own batch layer, without services.

As a command it is the whole way from the shell, with everything cold::

    python benchmarks/execute.py [--at-once N] OUTPUTS NOTEBOOK…
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
import papermill

from labkit.batch.environments import environment_without_services
from labkit.batch.execution import Execution
from labkit.batch.kernels import KernelPlace
from labkit.commands.warmth import warmth
from labkit.environment import IsolatedEnvironment
from labkit.errors import KernelUnavailable
from labkit.records import CheckStarted, Record
from labkit.redaction import Redactor
from labkit.services.keeper import keep

_DEADLINE_S: Final = 120.0


@dataclass(frozen=True)
class Ground:
    """What executions stand on: a private folder, and a process that is warm."""

    folder: Path
    warm: Path
    """Where the warm process listens."""

    def place(self) -> KernelPlace:
        """A place for one kernel, in a new folder."""
        folder = Path(tempfile.mkdtemp(prefix="kernel-", dir=self.folder))
        environment = environment_without_services(IsolatedEnvironment.of_process().as_mapping())
        return KernelPlace(folder, environment, Path.cwd(), self.warm)


class _Nobody:
    """Hears what a kernel tells of its checks: these notebooks have none."""

    def heard(self, record: Record) -> None:
        """Refuse a record."""
        raise AssertionError(f"a notebook without checks sent {record}")

    def killed(self, check: CheckStarted) -> None:
        """Refuse the end of a check."""
        raise AssertionError(f"a notebook without checks began {check}")


@asynccontextmanager
async def warm_ground() -> AsyncIterator[Ground]:
    """The ground once its process is warm, for as long as the block runs.

    Raises `KernelUnavailable` where there can be none: cold kernels would be measured as warm ones.
    """
    async with keep() as keeper:
        with warmth(cold=False) as warm:
            if warm is None:
                raise KernelUnavailable(
                    "kernels cannot be forked here; run the benchmarks on Linux"
                )
            warm.listen_in(keeper.folder)
            door = await warm.door()
            if door is None:
                raise KernelUnavailable("the warm process did not start; what it said is logged")
            yield Ground(keeper.folder, door)


async def execute(
    ground: Ground, notebooks: Sequence[Path], outputs: Path, *, at_once: int
) -> None:
    """Execute the notebooks, so many at the same time; the executed ones are in `outputs`.

    Raises what papermill raises where a cell fails, several of them as a group.
    """
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(at_once) as threads:
        async with asyncio.TaskGroup() as group:
            for notebook in notebooks:
                job = (notebook, outputs / notebook.name, ground.place())
                group.create_task(_done(loop.run_in_executor(threads, _execute, *job)))


async def _done(working: asyncio.Future[None]) -> None:
    await working


def _execute(notebook: Path, output: Path, place: KernelPlace) -> None:
    execution = Execution(place, _Nobody(), redactor=Redactor(()), deadline_s=_DEADLINE_S)
    papermill.execute_notebook(
        str(notebook),
        str(output),
        engine_name="labkit",
        kernel_name="python3",
        language="python",
        progress_bar=False,
        execution=execution,
    )


@click.command()
@click.option("--at-once", default=2, show_default=True, type=click.IntRange(min=1))
@click.argument("outputs", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.argument("notebooks", type=click.Path(path_type=Path, exists=True), nargs=-1, required=True)
def main(at_once: int, outputs: Path, notebooks: Sequence[Path]) -> None:
    """Execute NOTEBOOKS into the folder OUTPUTS."""

    async def go() -> None:
        async with warm_ground() as ground:
            await execute(ground, notebooks, outputs, at_once=at_once)

    asyncio.run(go())


if __name__ == "__main__":
    main()
