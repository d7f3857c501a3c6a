"""The processes of the platform's services, started when they are needed, ended with it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from labkit.errors import ServiceUnavailable
from labkit.reference.configuration.worker_config import WorkerConfig
from labkit.reference.processes.child_process import ChildProcess, ProcessLimits

_MODULE: Final = "labkit.reference.configuration"


class Fleet:
    """The processes of all services, by the name of the service."""

    def __init__(
        self, configs: Mapping[str, Sequence[WorkerConfig]], limits: ProcessLimits | None = None
    ) -> None:
        self._configs = configs
        self._limits = limits
        self._running: dict[str, Sequence[ChildProcess]] = {}
        self._turns = {service: asyncio.Lock() for service in configs}

    async def ask(self, service: str, question: str, **facts: str) -> Mapping[int, Any]:
        """What each process of a service answers, by process id; none after `stop`.

        Starts them where they were never started. Raises `InfrastructureError` when one does not
        start, and `ServiceUnavailable` when one has ended by itself, or does not answer.
        """
        if service not in self._running:
            await self.start(service)
        processes = self._running[service]
        answers = [asyncio.create_task(one.ask(question, **facts)) for one in processes]
        try:
            told = await asyncio.gather(*answers)
        finally:
            await _over(answers)
        return {one.pid: answer for one, answer in zip(processes, told, strict=True)}

    async def start(self, service: str) -> None:
        """Start the processes of a service, all at once; harmless where they run."""
        async with self._turns[service]:
            if self._running.get(service):
                return
            starts = [
                asyncio.create_task(self._started(config)) for config in self._configs[service]
            ]
            try:
                self._running[service] = await asyncio.gather(*starts)
            except BaseException:
                await _over(starts)
                await _stop([one.result() for one in starts if _has_started(one)])
                raise

    async def stop(self, service: str) -> None:
        """Stop the processes of a service in order; harmless where there are none.

        Raises `ServiceUnavailable` when one had ended by itself before.
        """
        async with self._turns[service]:
            processes = self._running.get(service, ())
            self._running[service] = ()
            if told := await _stop(processes):
                raise ServiceUnavailable(told)

    async def close(self) -> None:
        """Stop all in order, bounded; raises as `stop` does, once none is left."""
        stops = [asyncio.create_task(self.stop(service)) for service in self._configs]
        failures = await asyncio.gather(*stops, return_exceptions=True)
        if told := [failure for failure in failures if failure is not None]:
            raise ServiceUnavailable("; ".join(map(str, told))) from told[0]

    async def _started(self, config: WorkerConfig) -> ChildProcess:
        name = f"process {config.number} of the service {config.service}"
        return await ChildProcess.start(_MODULE, config.to_line(), name=name, limits=self._limits)


async def _stop(processes: Sequence[ChildProcess]) -> str:
    """Stop them in order; how any had ended by itself before."""
    deaths = [await one.noticed_death() for one in processes]
    await asyncio.gather(*(one.stop() for one in processes))
    return "; ".join(filter(None, deaths))


def _has_started(start: asyncio.Task[ChildProcess]) -> bool:
    return not start.cancelled() and start.exception() is None


async def _over(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """End what still runs, each cancelled once: a second time would cut short how it cleans up."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
