"""Where a contender shows what it can: a project of its own, and a clock around its processes."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from labkit.errors import InfrastructureError
from labkit.warm.state import die_with

_DEADLINE_S: Final = 900.0


@dataclass(frozen=True)
class Stage:
    """A fresh project that holds copies of the notebooks, and what its processes are started with.

    Its parameters are the notebooks' own defaults, since not every contender can set others.
    """

    root: Path
    environment: Mapping[str, str]
    notebooks: tuple[Path, ...]

    @property
    def outputs(self) -> Path:
        """An empty folder for what was executed."""
        return self.root / "outputs"

    async def seconds_of(self, *argv: str) -> float:
        """How long the command takes, from its start to its end.

        Raises `InfrastructureError` with what it wrote last when it fails or takes too long.
        """
        with (self.root / "log").open("wb") as log:
            began_s = time.perf_counter()
            process = await asyncio.create_subprocess_exec(
                *argv,
                cwd=self.root,
                env=dict(self.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=partial(die_with, os.getpid()),
            )
            status = await _end_of(process)
            seconds = time.perf_counter() - began_s
        if status != 0:
            told = f"`{' '.join(argv)}` ended with status {status}"
            raise InfrastructureError(f"{told}: {self.log[-2000:]}")
        return seconds

    @property
    def log(self) -> str:
        """What the last command wrote."""
        return (self.root / "log").read_text(encoding="utf-8", errors="replace")

    def cells_s(self, folder: Path) -> float:
        """The time of all cells of the executed notebooks in the folder; as `own_seconds`."""
        return sum(own_seconds(folder / notebook.name) for notebook in self.notebooks)


def own_seconds(notebook: Path, *, begins: str = "") -> float:
    """The time of the code cells that begin so, in a notebook that papermill has executed.

    Where another one executed it, nothing is noted, and it is 0. Raises `InfrastructureError` where
    it was not executed from its first cell to its last without an error.
    """
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    counts = [cell["execution_count"] for cell in code]
    errors = [out for cell in code for out in cell["outputs"] if out["output_type"] == "error"]
    if errors or counts != list(range(1, len(code) + 1)):
        text = f"{notebook.name} was not executed from its first cell to its last"
        raise InfrastructureError(f"{text}: its cells are numbered {counts}, errors {errors}")
    meant = [cell["metadata"] for cell in code if "".join(cell["source"]).startswith(begins)]
    return sum(metadata.get("papermill", {}).get("duration") or 0.0 for metadata in meant)


@contextmanager
def stage(notebooks: Sequence[Path], environment: Mapping[str, str]) -> Iterator[Stage]:
    """A stage for one execution, gone when the block is left."""
    with tempfile.TemporaryDirectory(prefix="labkit-benchmark-") as folder:
        root = Path(folder)
        for name in ("notebooks", "params", "outputs"):
            (root / name).mkdir()
        (root / "params" / "test.yaml").write_text("environment: test\n", encoding="utf-8")
        (root / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        copies = [shutil.copy(notebook, root / "notebooks") for notebook in notebooks]
        yield Stage(root, environment, tuple(map(Path, copies)))


async def _end_of(process: asyncio.subprocess.Process) -> int:
    try:
        async with asyncio.timeout(_DEADLINE_S):
            return await process.wait()
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
