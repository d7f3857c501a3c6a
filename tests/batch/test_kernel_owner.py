"""A notebook's kernel is ready, is its place's alone, and leaves nothing, forked or started."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from nbclient.exceptions import DeadKernelError
from nbformat.v4 import new_notebook
from papermill.engines import NotebookExecutionManager

from labkit.batch.environments import environment_without_services
from labkit.batch.kernel_owner import KernelOwner
from labkit.batch.kernels import KernelPlace
from labkit.batch.stopwatch import Stopwatch
from labkit.errors import KernelUnavailable
from labkit.warm.owner import warming_up
from tests.notebook_files import code
from tests.services.owners import eventually, is_running, same_imports

LOOKS: Final = """
import json, os, random, signal, sys, threading, warnings
import matplotlib
import matplotlib.pyplot
matplotlib.pyplot.close(matplotlib.pyplot.figure())
facts = {
    "argv": sys.argv[1:], "path": sys.path, "folder": os.getcwd(), "environment": dict(os.environ),
    "name": __name__, "flags": str(sys.flags), "filters": sorted(map(repr, warnings.filters)),
    "signals": {one.name: str(signal.getsignal(one)).split(" at ")[0]
                for one in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGCHLD)},
    "backend": matplotlib.get_backend(), "rc": repr(matplotlib.rcParams),
    "limit": sys.getrecursionlimit(), "switch": sys.getswitchinterval(),
    "leads": os.getpgid(0) == os.getpid() == os.getsid(0),
    "streams": [sys.stdin.name, type(sys.stdout).__name__, type(sys.stderr).__name__],
    "input": os.read(0, 1).decode(),
    "completes": get_ipython().Completer.__class__.__name__,
}
with open("facts", "w") as file:
    file.write(json.dumps(facts))
"""
"""What a notebook may notice of the process that it runs in."""
OF_STARTING: Final = frozenset({"JPY_PARENT_PID", "PYDEVD_USE_FRAME_EVAL"})
"""What jupyter_client and an import leave in the environment of a started process alone."""
LEAVES_OTHERS: Final = """
import json, os, subprocess
pids = [os.getpid(), subprocess.Popen(["sleep", "300"]).pid]
with open("left", "w") as file:
    file.write(json.dumps(pids))
"""
RESISTS: Final = "import atexit, time\natexit.register(time.sleep, 300)"


@pytest.fixture
def place(door: Path | None) -> Iterator[KernelPlace]:
    """A place for one kernel."""
    with tempfile.TemporaryDirectory(prefix="lk-") as name:
        folder = Path(name)
        yield KernelPlace(folder, environment_without_services(same_imports()), folder, door)


def owner_of(*sources: str) -> KernelOwner:
    """What executes a notebook with these cells."""
    notebook = new_notebook(cells=[code(source) for source in sources])
    manager = NotebookExecutionManager(notebook, progress_bar=False)
    return KernelOwner(manager, kernel_name="python3", timeout=60)


async def execute(place: KernelPlace, *sources: str) -> None:
    """Execute cells at the place."""
    owner = owner_of(*sources)
    owner.reset_execution_trackers()
    async with owner.kernel_at(place, Stopwatch()):
        for index, cell in enumerate(owner.nb.cells):
            await owner.async_execute_cell(cell, index)


def left_at(place: KernelPlace) -> list[int]:
    """The kernel and the process that its notebook left."""
    pids: list[int] = json.loads((place.working_folder / "left").read_text())
    return pids


def test_a_kernel_leaves_nothing_behind(place: KernelPlace) -> None:
    """Neither its process nor those of its notebook, nor sockets or files but its log."""
    asyncio.run(execute(place, LEAVES_OTHERS))
    assert eventually(lambda: not any(map(is_running, left_at(place))))
    assert {path.name for path in place.folder.iterdir()} == {"kernel.log", "left"}


def test_a_kernel_that_died_leaves_nothing_behind(place: KernelPlace) -> None:
    """Its end is told as nbclient does, and what it had started goes with it."""
    with pytest.raises(DeadKernelError):
        asyncio.run(execute(place, LEAVES_OTHERS, "os._exit(3)"))
    assert eventually(lambda: not any(map(is_running, left_at(place))))


def test_a_kernel_that_does_not_end_when_asked_is_killed(
    place: KernelPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is given some time; afterwards nothing of it is left."""
    monkeypatch.setattr("labkit.batch.kernel_owner._END_S", 0.2)
    asyncio.run(execute(place, LEAVES_OTHERS, RESISTS))
    assert eventually(lambda: not any(map(is_running, left_at(place))))


def test_an_error_in_the_block_ends_the_kernel(place: KernelPlace) -> None:
    """It comes through as it is."""

    async def fail() -> int:
        owner = owner_of()
        async with owner.kernel_at(place, Stopwatch()):
            assert owner.km is not None
            pid = owner.km.provisioner.pid  # type: ignore[union-attr]
            raise LookupError(str(pid))

    with pytest.raises(LookupError) as raised:
        asyncio.run(fail())
    assert eventually(lambda: not is_running(int(str(raised.value))))


def test_a_kernel_without_a_folder_does_not_start(place: KernelPlace) -> None:
    """It is told at once, with what to do."""
    nowhere = replace(place, working_folder=place.folder / "nowhere")
    with pytest.raises(KernelUnavailable, match=r"did not start .*; run labkit doctor"):
        asyncio.run(execute(nowhere, "1"))


def test_forked_and_started_kernels_look_alike() -> None:
    """Arguments, paths, environment, signals, warnings, matplotlib, streams: all is the same."""
    assert seen(cold=False) == seen(cold=True)


def seen(*, cold: bool) -> dict[str, Any]:
    """What a notebook sees of its process, at the same place each time."""

    async def look(folder: Path) -> None:
        environment = environment_without_services(same_imports())
        with warming_up(environment=environment, working_folder=folder) as warm:
            assert warm is not None
            warm.listen_in(folder)
            place = KernelPlace(folder, environment, folder, None if cold else await warm.door())
            await execute(place, LOOKS)

    with tempfile.TemporaryDirectory(prefix="lk-") as name:
        folder = Path(name)
        asyncio.run(look(folder))
        facts: dict[str, Any] = json.loads((folder / "facts").read_text().replace(name, "/lk"))
    facts["environment"] = {
        name: text for name, text in facts["environment"].items() if name not in OF_STARTING
    }
    return facts
