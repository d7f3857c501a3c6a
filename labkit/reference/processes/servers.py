"""The platform's server processes: started when they are needed, and ended with their owner."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

from labkit.errors import ServiceUnavailable
from labkit.reference.config import ServiceConfig
from labkit.reference.processes.child_process import ChildProcess, ProcessLimits
from labkit.targets.notifications import Door

_MODULE: Final = "labkit.reference"


class Processes:
    """The server processes of one platform; none before the first need of one."""

    def __init__(
        self, configs: Sequence[ServiceConfig], limits: ProcessLimits | None = None
    ) -> None:
        self._configs = configs
        self._limits = limits or ProcessLimits()
        self._started: dict[int, ChildProcess] = {}
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
        living = [_door(process) for process in processes if process.is_running]
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
        await self._start(self._configs[number])
        return _door(self._started[number])

    async def close(self) -> None:
        """Stop all in order, bounded; none is left, whatever happens meanwhile.

        Raises `ServiceUnavailable` when one had ended by itself before, which nobody was told yet.
        """
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        processes = self._in_order()
        deaths = [await process.noticed_death() for process in processes]
        await asyncio.gather(*(process.stop() for process in processes))
        self._raise_for_dead(deaths)

    def _in_order(self) -> Sequence[ChildProcess]:
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
        self._started[config.number] = await ChildProcess.start(
            _MODULE,
            config.to_line(),
            name=f"server process {config.number}",
            limits=self._limits,
        )


def _door(process: ChildProcess) -> Door:
    return Door(process.ready["host"], process.ready["port"])
