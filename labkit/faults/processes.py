"""Processes that are there to be killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Sequence
from typing import IO, Final

from labkit.errors import InfrastructureError
from labkit.warm.programs import Program, start_program

_END_S: Final = 5.0
_TAIL_CHARS: Final = 2_000


class Victim:
    """A child process: it was given a line, says a line when it is ready, and then is killed.

    Its standard input stays open for as long as its owner lives. A child that reads on until the
    end thereby learns that the owner is gone, however that died.
    """

    def __init__(self, process: Program, complaints: IO[bytes]) -> None:
        self._process = process
        self._complaints = complaints

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def tell(self, line: str) -> None:
        """Give it a line on its standard input, which no other process can read."""
        if self._process.stdin is not None:
            self._process.stdin.write(f"{line}\n".encode())
            with contextlib.suppress(ConnectionError):  # `line` tells of its early end
                await self._process.stdin.drain()

    async def line(self, *, deadline_s: float) -> str:
        """The next line that it says.

        Raises `InfrastructureError` when it says none in time, or ends instead; the message holds
        the end of what it wrote to standard error.
        """
        said = b""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                if self._process.stdout is not None:
                    said = await self._process.stdout.readline()
        if not said.endswith(b"\n"):
            self._complaints.seek(0)
            told = self._complaints.read().decode(errors="replace").strip()[-_TAIL_CHARS:]
            text = f"process {self.pid} did not say that it is ready within {deadline_s:g} s"
            raise InfrastructureError(f"{text}: {told or 'it wrote no error'}")
        return said.decode().rstrip("\n")

    async def kill(self) -> int:
        """End it by SIGKILL, unless it has ended by itself; its status, -9 when it died of that."""
        if self._process.returncode is None:
            # Not `Process.kill`: it polls first, and so may take the exit status away from the
            # loop's watcher, which then says 255.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        async with asyncio.timeout(_END_S):
            return await self._process.wait()


@contextlib.asynccontextmanager
async def victim(arguments: Sequence[str]) -> AsyncIterator[Victim]:
    """A child process for the length of the block; whatever is left of it is killed at the end."""
    with tempfile.TemporaryFile() as complaints:
        process = await asyncio.create_subprocess_exec(
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=complaints,
        )
        async with _killed_at_last(process, complaints) as child:
            yield child


@contextlib.asynccontextmanager
async def victim_program(module: str) -> AsyncIterator[Victim]:
    """The same, of a program of the lab's (`python -m module`)."""
    with tempfile.TemporaryFile() as complaints:
        process = await start_program(module, errors=complaints)
        async with _killed_at_last(process, complaints) as child:
            yield child


@contextlib.asynccontextmanager
async def _killed_at_last(process: Program, complaints: IO[bytes]) -> AsyncIterator[Victim]:
    child = Victim(process, complaints)
    try:
        yield child
    finally:
        await child.kill()
        if process.stdin is not None:
            process.stdin.close()
