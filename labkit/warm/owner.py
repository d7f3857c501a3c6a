"""The owner of a warm process: it is started beside other work, and ends with the block."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from labkit.warm import process
from labkit.warm.state import can_fork

READY_S: Final = 60.0
"""How long it may take to import everything, in seconds."""
END_S: Final = 10.0
"""How long it may take to end, in seconds; then it is killed, and Linux kills what it made."""

_log: Final = logging.getLogger(__name__)


class WarmProcess:
    """One that is warming up, or is warm."""

    def __init__(self, door: Path, log: Path, running: asyncio.subprocess.Process | None) -> None:
        self._door = door
        self._log = log
        self._running = running
        self._ready: asyncio.Task[bool] | None = None
        if running is not None:
            self._ready = asyncio.create_task(self._warm_up(running), name="the warm process")

    async def door(self) -> Path | None:
        """Where it listens, once it is warm; None where there is none: why is logged."""
        if self._ready is None:
            return None
        return self._door if await asyncio.shield(self._ready) else None

    async def _warm_up(self, running: asyncio.subprocess.Process) -> bool:
        if running.stdout is None:
            raise AssertionError("it is a pipe")
        said, why = b"", f"it was not ready within {READY_S:g} s"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_S):
                said = await running.stdout.readline()
                why = self._log.read_text(errors="replace").strip() or "it said nothing"
        if not said:
            _log.warning("there are only cold kernels: the warm process did not start: %s", why)
        return bool(said)

    async def end(self) -> None:
        """End it, and with it all that it made."""
        if self._running is None or self._ready is None or self._running.stdin is None:
            return
        self._ready.cancel()
        self._running.stdin.close()
        try:
            async with asyncio.timeout(END_S):
                await self._running.wait()
        except TimeoutError:
            self._running.kill()
            await self._running.wait()


@asynccontextmanager
async def warm_process(
    folder: Path, *, environment: Mapping[str, str], working_folder: Path
) -> AsyncIterator[WarmProcess]:
    """A process that warms up while the block goes on; where the system cannot fork, none.

    It listens and logs in `folder`, which must be private and have a short path.
    """
    door, log = folder / "warm.sock", folder / "warm.log"
    running = await _start(door, log, environment, working_folder) if can_fork() else None
    warm = WarmProcess(door, log, running)
    try:
        yield warm
    finally:
        await warm.end()


async def _start(
    door: Path, log: Path, environment: Mapping[str, str], working_folder: Path
) -> asyncio.subprocess.Process:
    with log.open("wb") as errors:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", process.__name__, str(door)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env=dict(environment),
            cwd=working_folder,
            start_new_session=True,  # an interrupt at the terminal is its owner's to handle
        )
