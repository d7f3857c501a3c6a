"""A TCP proxy on loopback that stands between a client and a real server, and misbehaves on demand.

::

    async with tcp_proxy(host, port, random=lab.random) as proxy:
        client = await connect(proxy.host, proxy.port)
        silence = proxy.add(Timeout(0), Direction.DOWNSTREAM)
        ...
        check.judged(silence.verdict(), "the connection was silenced")

What it does to a stream are toxics, which work on their own, and gates, which wait for an event.
They act in the order in which they were added. Each counts what it did, since a fault that met
nothing has tested nothing.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from contextvars import copy_context
from random import Random
from typing import Final, TypeVar

from labkit.errors import InfrastructureError, UsageError
from labkit.faults.flow import NOT_APPLIED, Direction, Ending, Fault
from labkit.faults.gates import Gate, Tap
from labkit.faults.links import Connection
from labkit.faults.listener import HOST, Listener
from labkit.faults.toxics import Timeout, Toxic
from labkit.faults.upstreams import Upstream, find_upstream
from labkit.judges.verdict import Verdict

_END_S: Final = 10.0

_ToxicT = TypeVar("_ToxicT", bound=Toxic)


@asynccontextmanager
async def tcp_proxy(
    host: str, port: int | None = None, *, random: Random
) -> AsyncIterator[TcpProxy]:
    """A proxy for the server at `host` and `port`, or at a unix socket's path, for the block.

    `random` is what jitter and slices are drawn from. A client whose server does not let the proxy
    in is reset. Leaving the block releases all gates and resets all connections; an error inside
    the proxy is raised then, or noted on the error that ends the block.

    Raises `UsageError` or `ServiceUnavailable` when there can be no such server, and
    `InfrastructureError` when there is no port to listen on.
    """
    proxy = TcpProxy(await find_upstream(host, port), random)
    try:
        yield proxy
    except BaseException as error:
        for failure in await proxy.close():
            error.add_note(f"the proxy failed too: {failure!r}")
        raise
    failures = await proxy.close()
    if failures:
        raise BaseExceptionGroup("the proxy failed", failures)


class TcpProxy:
    """A running proxy; made by `tcp_proxy`."""

    def __init__(self, upstream: Upstream, random: Random) -> None:
        self._upstream = upstream
        self._random = random
        self._context = copy_context()
        self._connections: dict[asyncio.Task[None], Connection] = {}
        self._opened = 0
        self._added: list[Fault] = []
        self._faults: dict[Direction, list[Fault]] = {way: [] for way in Direction}
        self._taps: dict[Direction, list[Tap]] = {way: [] for way in Direction}
        self._failures: list[BaseException] = []
        self._is_closed = False
        self._listener = Listener(self._take)
        self.host = HOST
        """The address at which clients find it."""
        self.port = self._listener.port
        """The port at which clients find it; it stays the same while the proxy is down."""
        self._listener.up()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    @property
    def opened(self) -> int:
        """How many connections have been opened until now."""
        return self._opened

    # Toxics and gates ---------------------------------------------------------------------------

    def add(self, toxic: _ToxicT, direction: Direction) -> _ToxicT:
        """Let a toxic act in a direction, on existing and new connections, from now on."""
        self._install(toxic, direction, f"{direction}")
        return toxic

    def hold(self, direction: Direction, *, when: bytes | None = None, whole: bool = False) -> Gate:
        """A gate that holds each stream from the pattern `when` on, or all that comes from now on.

        A `whole` one holds also what came in one piece with the pattern. Raises `UsageError` for an
        empty pattern.
        """
        gate = Gate(when, whole=whole)
        self._install(gate, direction, f"{direction}")
        return gate

    def tap(self, direction: Direction, pattern: bytes) -> Tap:
        """Tells when a pattern has gone to the other side from now on, whatever faults there are.

        Raises `UsageError` for an empty pattern.
        """
        self._require_open()
        tap = Tap(pattern)
        self._taps[direction].append(tap)
        for connection in self._connections.values():
            connection.links[direction].taps.append(tap)
        return tap

    def freeze(self) -> Timeout:
        """Silence the existing connections in both directions; new ones are not concerned.

        To remove it closes those that have lost something.
        """
        silence = Timeout(0)
        self._number(silence, "on the existing connections")
        for connection in self._connections.values():
            for link in connection.links.values():
                link.add(silence)
        return silence

    def remove(self, fault: Fault) -> None:
        """Take a toxic or gate away; what waits in it goes on. Harmless twice."""
        fault.lift()
        for faults in self._faults.values():
            if fault in faults:
                faults.remove(fault)
        for connection in self._connections.values():
            for link in connection.links.values():
                link.remove(fault)

    def _install(self, fault: Fault, direction: Direction, where: str) -> None:
        self._number(fault, where)
        self._faults[direction].append(fault)
        for connection in self._connections.values():
            connection.links[direction].add(fault)

    def _number(self, fault: Fault, where: str) -> None:
        self._require_open()
        fault.install(where, len(self._added) + 1, self._random)
        self._added.append(fault)

    def _require_open(self) -> None:
        if self._is_closed:
            raise UsageError("the proxy's block has been left: nothing flows in it any more")

    # Connections --------------------------------------------------------------------------------

    async def cut(self) -> Verdict:
        """Reset all existing connections on both sides, now; new ones are taken as before.

        Unknown, `fault-not-applied`, when there was none.
        """
        cut = await self._reset_all()
        if not cut:
            return Verdict.unknown(NOT_APPLIED, "cut: no connection was open")
        return Verdict.sound(f"cut: {cut:,} {'connection' if cut == 1 else 'connections'}")

    async def down(self) -> Verdict:
        """Refuse new connections and reset the existing ones, until `up`.

        Sound when a connection that the proxy tries itself is refused.
        """
        self._require_open()
        await self._listener.down()
        cut = await self._reset_all()
        if not await self._listener.refuses():
            return Verdict.unknown(NOT_APPLIED, f"down: port {self.port} still lets clients in")
        return Verdict.sound(f"down: connections are refused, {cut:,} were reset")

    async def up(self) -> None:
        """Take connections again, at the same port; harmless when the proxy is not down."""
        self._require_open()
        await self._listener.down()
        self._listener.up()

    async def close(self) -> tuple[BaseException, ...]:
        """End everything; what failed in the proxy while it ran."""
        self._is_closed = True
        try:
            await self._listener.close()
        except OSError as error:
            self._failures.append(error)
        await self._reset_all()
        for fault in self._added:
            fault.lift()
        return tuple(self._failures)

    async def _reset_all(self) -> int:
        tasks = dict(self._connections)
        cut = sum(connection.end(Ending.RESET) for connection in tasks.values())
        await _ended(tasks)
        return cut

    def _take(self, client: socket.socket) -> None:
        self._opened += 1
        connection = Connection(self._opened, client)
        for direction, link in connection.links.items():
            link.taps.extend(self._taps[direction])
            for fault in self._faults[direction]:
                link.add(fault)
        task = connection.start(self._upstream.connect, self._context)
        self._connections[task] = connection
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        del self._connections[task]
        failure = None if task.cancelled() else task.exception()
        if failure is not None:
            self._failures.append(failure)


async def _ended(tasks: Collection[asyncio.Task[None]]) -> None:
    """Wait until the tasks, which were told to end, have done so and closed their sockets."""
    if not tasks:
        return
    _, lasting = await asyncio.wait(tasks, timeout=_END_S)
    if lasting:
        text = f"{len(lasting)} connections of a proxy did not end within {_END_S:g} s"
        raise InfrastructureError(text)
