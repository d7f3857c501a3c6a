"""What serves the platform's clients in one process: opened, and closed, as one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from labkit.reference.assembly import Assembly, assemble
from labkit.reference.cache.redis_client import redis_client
from labkit.reference.config import ServiceConfig
from labkit.reference.parts import Parts
from labkit.reference.serving.requests import Requests
from labkit.reference.serving.server import Delivery, Server
from labkit.reference.workshop import Workshop
from labkit.targets.notifications import Door

_READERS: Final = 1
"""Connections that wait for what is published: one reads for all users."""


@asynccontextmanager
async def serving(config: ServiceConfig, parts: Parts) -> AsyncIterator[Door]:
    """Serve for as long as the block runs; where it listens.

    Leaving it tells the clients, then suspends what still runs. Raises `ServiceUnavailable` when
    PostgreSQL or Redis cannot be reached.
    """
    async with AsyncExitStack() as stack:
        inner = await stack.enter_async_context(assemble(config.lease, parts))
        workshop = await stack.enter_async_context(
            Workshop(inner.store, config.lease.platform_url, parts)
        )
        server = await _server(stack, config, parts, inner, workshop)
        yield server.door


async def _server(
    stack: AsyncExitStack,
    config: ServiceConfig,
    parts: Parts,
    inner: Assembly,
    workshop: Workshop,
) -> Server:
    """What brings events to clients, and the door through which they come."""
    reader = redis_client(config.lease.redis_url, connections=_READERS)
    stack.push_async_callback(reader.aclose)
    streams = parts.streams(inner.redis, inner.keys)
    await streams.ping()
    relay = await stack.enter_async_context(parts.relay(config.lease.platform_url, streams))
    follower = await stack.enter_async_context(parts.follower(streams, reader))
    delivery = Delivery(
        follower, parts.replay(inner.store, streams), parts.drops(inner.redis, inner.keys)
    )
    server = parts.server(
        parts.tokens(config.token_key),
        Requests(workshop.intake, workshop.engine, inner.quality),
        delivery,
        parts.health(inner.pool, streams, relay, workshop.engine),
        config.limits,
        parts.connection,
    )
    return await stack.enter_async_context(server)


class KernelService:
    """The same in this process's own loop, in a task of its own, from the first need on."""

    def __init__(self, config: ServiceConfig, parts: Parts) -> None:
        self._config = config
        self._parts = parts
        self._stop = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None
        self._door: asyncio.Future[Door] | None = None

    async def doors(self) -> Sequence[Door]:
        """Where it listens; errors as `serving`."""
        if self._door is None:
            self._door = asyncio.get_running_loop().create_future()
            self._serving = asyncio.create_task(self._serve(self._door))
        # Who is cancelled while waiting leaves the start to the others, and to `close`.
        return [await asyncio.shield(self._door)]

    async def close(self) -> None:
        """Stop in order."""
        self._stop.set()
        if self._serving is not None:
            await self._serving

    async def _serve(self, door: asyncio.Future[Door]) -> None:
        try:
            async with serving(self._config, self._parts) as listening:
                door.set_result(listening)
                await self._stop.wait()
        except Exception as error:
            if door.done():
                raise
            door.set_exception(error)  # whoever waits for the door is told
