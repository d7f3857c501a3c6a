"""The platform's server processes: started when they are needed, and ended with their owner.

A process is told its configuration on its standard input, which stays open for as long as its owner
lives, and says on its standard output where it listens. What it logs goes to a nameless file, whose
end is told when the process ended by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import IO, Final, Self

from labkit.errors import InfrastructureError, ServiceUnavailable
from labkit.reference.config import ServiceConfig
from labkit.targets.notifications import Door

_KILL_S: Final = 10.0
_TAIL_BYTES: Final = 2_000

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class ProcessLimits:
    """How long a server process may take, in seconds."""

    ready_s: float = 60.0
    """To say where it listens, on a machine that has much else to do."""
    stop_s: float = 10.0
    """To stop in order; then it is killed."""


class ServerProcess:
    """One server process; made by `start`."""

    def __init__(
        self,
        number: int,
        process: asyncio.subprocess.Process,
        log: IO[bytes],
        limits: ProcessLimits,
    ) -> None:
        self.number = number
        self.door: Door
        """Where it listens."""
        self._process = process
        self._log = log
        self._limits = limits
        self._is_ended_by_us = False

    @classmethod
    async def start(cls, config: ServiceConfig, limits: ProcessLimits) -> Self:
        """A process that listens.

        Raises `InfrastructureError`, with the end of its log, when it does not come so far.
        """
        log = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "labkit.reference"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # an interrupt of the owner's cell is not for it
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        except BaseException:
            log.close()
            raise
        started = cls(config.number, process, log, limits)
        try:
            started.door = await started._begin(config.to_line())
        except BaseException:
            await started.stop()
            raise
        return started

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not been seen to end."""
        return self._process.returncode is None

    @property
    def last_words(self) -> str:
        """The end of what it has logged."""
        size = os.fstat(self._log.fileno()).st_size
        # Reading at a place of its own: the file's one position is where the process writes.
        tail = os.pread(self._log.fileno(), _TAIL_BYTES, max(0, size - _TAIL_BYTES))
        return tail.decode(errors="replace").strip() or "it logged nothing"

    @property
    def own_death(self) -> str:
        """How it ended by itself, with the end of its log; empty when it did not."""
        if self._is_ended_by_us or self.is_running:
            return ""
        return (
            f"server process {self.number} (pid {self.pid}) ended by itself with status "
            f"{self._process.returncode}: {self.last_words}"
        )

    async def _begin(self, line: str) -> Door:
        said = b""
        with contextlib.suppress(TimeoutError, ConnectionError):  # what it says, or not, tells all
            async with asyncio.timeout(self._limits.ready_s):
                said = await self._exchange(line)
        if not said.endswith(b"\n"):
            await self.kill()  # so that its log is whole
            text = f"server process {self.number} (pid {self.pid}) did not start"
            raise InfrastructureError(f"{text}: {self.last_words}")
        ready = json.loads(said)
        return Door(ready["host"], ready["port"])

    async def _exchange(self, line: str) -> bytes:
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError("both are pipes")
        self._process.stdin.write(f"{line}\n".encode())
        with contextlib.suppress(ConnectionError):  # it ended at once, and has told why
            await self._process.stdin.drain()
        return await self._process.stdout.readline()

    async def stop(self) -> None:
        """Let it stop in order, for a bounded time, then kill it; it is reaped in any case."""
        self._is_ended_by_us |= self.is_running
        try:
            if self._process.stdin is not None:
                self._process.stdin.close()
            async with asyncio.timeout(self._limits.stop_s):
                await self._process.wait()
        except TimeoutError:
            text = "server process %s (pid %s) did not stop in time and is killed: %s"
            _log.warning(text, self.number, self.pid, self.last_words)
        finally:
            await self._reap()
            self._log.close()

    async def kill(self) -> int:
        """End it by SIGKILL, unless it has ended already; its status, -9 when it died of that."""
        self._is_ended_by_us |= self.is_running
        return await self._reap()

    async def _reap(self) -> int:
        if self.is_running:
            # Not `Process.kill`: it polls first, and so may take the exit status away from the
            # loop's watcher, which then says 255.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        if self._process.stdin is not None:
            self._process.stdin.close()
        async with asyncio.timeout(_KILL_S):
            return await self._process.wait()


class Processes:
    """The server processes of one platform; none before the first need of one."""

    def __init__(
        self, configs: Sequence[ServiceConfig], limits: ProcessLimits | None = None
    ) -> None:
        self._configs = configs
        self._limits = limits or ProcessLimits()
        self._started: dict[int, ServerProcess] = {}
        self._starting: asyncio.Task[None] | None = None

    async def doors(self) -> Sequence[Door]:
        """Where those that live listen; all are started at the first call, at once and once.

        Raises `InfrastructureError` when one does not start, and `ServiceUnavailable` when one has
        ended by itself, or none lives.
        """
        if self._starting is None:
            self._starting = asyncio.create_task(self._start_all())
        # Who is cancelled while waiting leaves the start to the others, and to `close`.
        await asyncio.shield(self._starting)
        processes = self._in_order()
        self._raise_for_dead(process.own_death for process in processes)
        living = [process.door for process in processes if process.is_running]
        if not living:
            raise ServiceUnavailable("all server processes of the platform were killed")
        return living

    @property
    def pids(self) -> Sequence[int]:
        """The process ids of those that live, in the order of `doors`."""
        return [process.pid for process in self._in_order() if process.is_running]

    async def kill(self, number: int) -> int:
        """End a started process by SIGKILL; its status, -9 unless it had ended before."""
        return await self._started[number].kill()

    async def restart(self, number: int) -> Door:
        """Start a process again in the place of one that was killed."""
        await self._started[number].kill()
        await self._started[number].stop()
        self._started[number] = await ServerProcess.start(self._configs[number], self._limits)
        return self._started[number].door

    async def close(self) -> None:
        """Stop all in order, bounded; none is left, whatever happens meanwhile.

        Raises `ServiceUnavailable` when one had ended by itself before, which nobody was told yet.
        """
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        processes = self._in_order()
        deaths = [process.own_death for process in processes]
        await asyncio.gather(*(process.stop() for process in processes))
        self._raise_for_dead(deaths)

    def _in_order(self) -> Sequence[ServerProcess]:
        return [self._started[number] for number in sorted(self._started)]

    @staticmethod
    def _raise_for_dead(deaths: Iterable[str]) -> None:
        told = "; ".join(filter(None, deaths))
        if told:
            raise ServiceUnavailable(told)

    async def _start_all(self) -> None:
        starts = [asyncio.create_task(self._start(config)) for config in self._configs]
        try:
            await asyncio.gather(*starts)
        finally:
            for start in starts:
                if not start.cancelling():  # a second time would cut short how it cleans up
                    start.cancel()
            await asyncio.wait(starts)

    async def _start(self, config: ServiceConfig) -> None:
        self._started[config.number] = await ServerProcess.start(config, self._limits)
