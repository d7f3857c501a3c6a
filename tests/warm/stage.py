"""A real warm process, and programs that are forked from it."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from labkit.batch.environments import environment_without_services
from labkit.warm.client import ForkedProcess
from labkit.warm.owner import WarmProcess, warming_up
from labkit.warm.requests import Request
from tests.services.owners import eventually, same_imports
from tests.warm import program

WAITS: Final = "import signal; print('waits', flush=True); signal.pause()"
"""A program that says so when it waits, and never ends by itself."""
LEAVES_ANOTHER: Final = """
import subprocess
print(subprocess.Popen(["sleep", "300"]).pid, flush=True)
"""
"""A program that says the number of a process that it leaves behind in its group."""
LEAVES_A_DAEMON: Final = """
import os, subprocess, sys
inner = "import subprocess; print(subprocess.Popen(['setsid', 'sleep', '300']).pid, flush=True)"
subprocess.run([sys.executable, "-c", inner], start_new_session=True)
"""
"""A program that says the number of a process that has left its group and its session."""
STAYS_WITH_ANOTHER: Final = f"{LEAVES_ANOTHER}import signal; signal.pause()"


@dataclass(frozen=True)
class Warm:
    """A warm process that is ready."""

    door: Path
    pid: int
    process: WarmProcess

    @property
    def descriptors(self) -> int:
        """How many it has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    @property
    def children(self) -> list[int]:
        """The processes that it made and has not reaped."""
        return list(
            map(int, Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split())
        )


async def ready(warm: WarmProcess) -> Warm:
    """What an owner has, once it is warm."""
    door = await warm.door()
    assert door is not None
    return Warm(door, warm._running.pid, warm)


@contextlib.asynccontextmanager
async def warmed() -> AsyncIterator[Warm]:
    """A warm process for the block."""
    with tempfile.TemporaryDirectory(prefix="lk-") as name:
        folder = Path(name)
        environment = environment_without_services(same_imports())
        with warming_up(environment=environment, working_folder=folder) as warm:
            assert warm is not None
            warm.listen_in(folder)
            yield await ready(warm)


class Forked:
    """A program that was forked, and what it prints."""

    def __init__(self, process: ForkedProcess, output: Path) -> None:
        self.process = process
        self._output = output

    @property
    def text(self) -> str:
        """All that it has printed by now, on standard output and error."""
        return self._output.read_text()

    def line(self) -> str:
        """Its first line, as soon as there is one."""
        assert eventually(lambda: "\n" in self.text)
        return self.text.splitlines()[0]


@contextlib.asynccontextmanager
async def forked(
    door: Path,
    text: str,
    *words: str,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[Forked]:
    """A program that is forked, and let go of when the block is left."""
    argv, variables = (text, *words), environment or same_imports()
    request = Request(program.__name__, argv, variables, str(folder or Path.cwd()))
    with tempfile.NamedTemporaryFile() as output, tempfile.TemporaryFile() as nothing:
        standard = (nothing.fileno(), output.fileno(), output.fileno())
        process = await ForkedProcess.ask(door, request, standard)
        try:
            yield Forked(process, Path(output.name))
        finally:
            await process.close()


@dataclass(frozen=True)
class Ran:
    """A program that has ended."""

    status: int
    text: str


async def ran(
    door: Path,
    text: str,
    *words: str,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Ran:
    """How a program ended, and what it printed."""
    async with forked(door, text, *words, folder=folder, environment=environment) as fork:
        return Ran(await ended(fork), fork.text)


async def ended(fork: Forked) -> int:
    """How it ended, within a bounded time."""
    async with asyncio.timeout(60.0):
        return await fork.process.wait()
