"""How a server process is, for whoever watches over it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Final, Protocol

from labkit.errors import LabError
from labkit.json_values import JsonValue
from labkit.reference.data.pool import Pool
from labkit.reference.events.relay import Relay
from labkit.reference.events.streams import Streams

_ANSWER_S: Final = 2.0


class Working(Protocol):
    """What works on runs."""

    @property
    def running(self) -> int:
        """How many runs it works on."""
        ...


class Health:
    """Asks the parts of the process."""

    def __init__(self, pool: Pool, streams: Streams, relay: Relay, engine: Working) -> None:
        self._pool = pool
        self._streams = streams
        self._relay = relay
        self._engine = engine

    async def report(self, connections: int) -> Mapping[str, JsonValue]:
        """The state of each part; `status` is `ok` when all of them answer, else `degraded`."""
        database, redis = await asyncio.gather(
            _answers(self._borrow()), _answers(self._streams.ping())
        )
        is_well = database and redis and self._relay.is_connected
        return {
            "status": "ok" if is_well else "degraded",
            "connections": connections,
            "runs": self._engine.running,
            "relay": "leads" if self._relay.leads else "waits",
            "database": database,
            "redis": redis,
        }

    async def _borrow(self) -> None:
        async with self._pool.connection():
            return


async def _answers(question: Awaitable[None]) -> bool:
    try:
        async with asyncio.timeout(_ANSWER_S):
            await question
    except (LabError, OSError, TimeoutError):
        return False
    return True
