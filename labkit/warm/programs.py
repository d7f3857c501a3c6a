"""Programs of the lab (`python -m module`): forked where a warm process is near, else started."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final, Protocol

from labkit.errors import NotWarm
from labkit.warm.client import ForkedProcess
from labkit.warm.requests import Request

DOOR: Final = "LABKIT_WARM"
"""The environment variable that says where a warm process listens."""

COVERAGE: Final = "LABKIT_COVERAGE"
"""The environment variable that names coverage.py's settings, where it is to measure programs."""

_LONGEST_LINE_BYTES: Final = 65_536

_log: Final = logging.getLogger(__name__)


class Program(Protocol):
    """A program that runs: as `asyncio.subprocess.Process`, of which this is what is needed."""

    @property
    def pid(self) -> int:
        """Its process id; it leads a session of its own."""

    @property
    def stdin(self) -> asyncio.StreamWriter | None:
        """Its standard input, until it is closed."""

    @property
    def stdout(self) -> asyncio.StreamReader | None:
        """Its standard output."""

    @property
    def returncode(self) -> int | None:
        """How it ended, as far as is known: negative for the signal that ended it."""

    async def wait(self) -> int:
        """How it ended, once it has."""


async def start_program(
    module: str, *, errors: IO[bytes], limit_bytes: int = _LONGEST_LINE_BYTES
) -> Program:
    """Run a module as this process would import it, with this process's environment.

    Its standard error goes to the file; `limit_bytes` bounds the lines that are read from it.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    if door := os.environ.get(DOOR):
        try:
            return await _fork(Path(door), module, environment, errors, limit_bytes)
        except NotWarm as error:
            _log.warning("%s starts cold: %s", module, error)
    return await asyncio.create_subprocess_exec(
        *(sys.executable, *launcher(module, environment)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=errors,
        start_new_session=True,  # an interrupt of the owner's cell is not for it
        env=environment,
        limit=limit_bytes,
    )


def launcher(module: str, environment: Mapping[str, str]) -> Sequence[str]:
    """What the interpreter is told to run a module, by coverage.py where that is to measure it."""
    settings = environment.get(COVERAGE)
    measure = ("-m", "coverage", "run", f"--rcfile={settings}") if settings else ()
    return (*measure, "-m", module)


class _ForkedProgram:
    """A forked process with its standard input and output, which are one socket."""

    def __init__(
        self, process: ForkedProcess, stdin: asyncio.StreamWriter, stdout: asyncio.StreamReader
    ) -> None:
        self._process = process
        self.pid = process.pid
        self.stdin = stdin
        self.stdout = stdout

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    async def wait(self) -> int:
        return await self._process.wait()


async def _fork(
    door: Path, module: str, environment: dict[str, str], errors: IO[bytes], limit_bytes: int
) -> Program:
    ours, its = socket.socketpair()
    try:
        with its:
            request = Request(module, (), environment, str(Path.cwd()), tuple(sys.path))
            standard = (its.fileno(), its.fileno(), errors.fileno())
            process = await ForkedProcess.ask(door, request, standard)
        try:
            stdout, stdin = await asyncio.open_connection(sock=ours, limit=limit_bytes)
        except BaseException:
            await process.close()
            raise
    except BaseException:
        ours.close()
        raise
    return _ForkedProgram(process, stdin, stdout)
