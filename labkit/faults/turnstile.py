"""Lets what uses a target's two servers pass one turn at a time, so that races become schedules.

::

    with Turnstile({ServerName.POSTGRES: postgres.proxy, ServerName.REDIS: redis.proxy}) as turns:
        reading = asyncio.create_task(session.title(thread))
        await turns.held(reading)     # ServerName.REDIS: it looks into the cache
        turns.let_pass()
        await turns.held(reading)     # ServerName.POSTGRES: a miss, so it asks the database

A turn is all that the actor sends to one server until it asks the other one, or until its operation
is over: a transaction of several round trips is one turn, and so are requests to the same server
that follow each other. What connection they come by makes no difference.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Mapping
from typing import Any, Final, Self

from labkit.errors import TargetError, UsageError
from labkit.faults.flow import Chunk, Direction, Onward, Stream
from labkit.faults.proxy import TcpProxy
from labkit.faults.toxics import Toxic

TURN_S: Final = 5.0
"""How long a turn may take before it is given up, in seconds."""


class ServerName(enum.StrEnum):
    """The servers that a target stands on."""

    POSTGRES = "PostgreSQL"
    REDIS = "Redis"


class Turnstile:
    """Stands on one actor's ways to its servers, both of which must be that actor's alone.

    It is armed while entered, or from `arm` to `disarm`; what passed before is no turn. The end of
    a connection asks for nothing and passes behind what was sent before it.
    """

    def __init__(self, proxies: Mapping[ServerName, TcpProxy]) -> None:
        self._proxies = proxies
        self._arms: dict[ServerName, _Arm] = {}
        self._open: ServerName | None = None
        self._waiting: dict[asyncio.Future[None], ServerName] = {}
        self._changed = asyncio.Event()

    def __enter__(self) -> Self:
        self.arm()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.disarm()

    def arm(self) -> None:
        """Hold what comes from now on; raises `UsageError` when it is armed already."""
        if self._arms:
            raise UsageError("this turnstile is armed already")
        for server, proxy in self._proxies.items():
            self._arms[server] = proxy.add(_Arm(self, server), Direction.UPSTREAM)

    def disarm(self) -> None:
        """Let everything pass from now on, also what waits; harmless twice."""
        for server, arm in self._arms.items():
            self._proxies[server].remove(arm)
        self._arms.clear()

    async def held(
        self, operation: asyncio.Future[Any], *, deadline_s: float = TURN_S
    ) -> ServerName | None:
        """At which server the actor now waits to be let in; None when its operation is over.

        Of two servers that it asks at once it is the one that was asked first. Raises `TargetError`
        when the turn is not over within `deadline_s` seconds, as when the actor waits for a lock.
        """
        operation.add_done_callback(self._tell)
        try:
            async with asyncio.timeout(deadline_s):
                while not (operation.done() or self._waiting):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError as error:
            text = f"the target neither asked another server nor ended within {deadline_s:g} s"
            raise TargetError(f"{text}: what it waits for is held by somebody else") from error
        finally:
            operation.remove_done_callback(self._tell)
        return None if operation.done() else next(iter(self._waiting.values()))

    def let_pass(self) -> None:
        """Let the actor have its turn; raises `UsageError` when nothing of it waits."""
        if not self._waiting:
            raise UsageError("nothing waits at the turnstile: see first where the actor is held")
        server = next(iter(self._waiting.values()))
        others = set(self._waiting.values()) - {server}
        self._open = None if others else server
        self.admit(server)

    def admit(self, server: ServerName) -> None:
        """Let in all that waits for a server at this moment."""
        admitted = [one for one, asked in self._waiting.items() if asked is server]
        for passing in admitted:
            del self._waiting[passing]
            passing.set_result(None)

    async def wait_for_turn(self, server: ServerName) -> None:
        """Wait until a request to the server may pass; it ends the turn at the other one."""
        if self._open is server:
            return
        self._open = None
        passing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[passing] = server
        self._changed.set()
        try:
            await passing
        finally:
            self._waiting.pop(passing, None)

    def _tell(self, _: object) -> None:
        self._changed.set()


class _Arm(Toxic):
    """The half of a turnstile that stands before one server."""

    name = "turnstile"

    def __init__(self, turnstile: Turnstile, server: ServerName) -> None:
        super().__init__()
        self._turnstile = turnstile
        self._server = server

    async def pass_on(self, chunk: Chunk, stream: Stream, onward: Onward) -> None:
        """Pass the chunk when it is this server's turn."""
        if chunk.data and not self._lifted.is_set():
            self._count(stream, len(chunk.data))
            await self._turnstile.wait_for_turn(self._server)
        await onward(chunk)

    def lift(self) -> None:
        """Stop, and let in what waits."""
        super().lift()
        self._turnstile.admit(self._server)
