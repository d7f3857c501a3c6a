"""The reference platform as a target: assembled from parts, each of which can be replaced."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Final, Self

from labkit.redaction import Secret
from labkit.reference.assembly import Assembly, assemble
from labkit.reference.cache.user_cache import UserCache
from labkit.reference.config import ServiceConfig
from labkit.reference.configuration.running import Running
from labkit.reference.contexts.session_contexts import SessionContexts, Work
from labkit.reference.data.store import Store
from labkit.reference.execution.executions import Executions
from labkit.reference.parts import Parts
from labkit.reference.processes.servers import Processes
from labkit.reference.routing.messages import MessageRouting
from labkit.reference.service import KernelService
from labkit.reference.serving.connection import ConnectionLimits
from labkit.reference.wire.client import Clients
from labkit.reference.wire.notifications import WireNotifications
from labkit.reference.wire.pipeline import WirePipeline
from labkit.reference.wire.sockets import Doors, WireSockets
from labkit.services.endpoints import Lease
from labkit.targets.configuration import Configuration
from labkit.targets.notifications import SocketLimits
from labkit.targets.protocols import Capability, Tables

if TYPE_CHECKING:
    from labkit.reference.configuration.live import LiveConfiguration

__all__ = ["InKernel", "Parts", "Platform"]

_KEY_BYTES: Final = 32


@dataclass(frozen=True)
class Front:
    """What speaks to the server processes for this one."""

    sockets: WireSockets
    notifications: WireNotifications
    pipeline: WirePipeline
    contexts: SessionContexts
    routing: MessageRouting


class Platform:
    """The reference platform on one lease: inside `async with` it is open.

    Its server processes start when the first call needs one, and end with the block.
    """

    name: ClassVar[str] = "reference"
    lacks: ClassVar[Mapping[Capability, str]] = MappingProxyType({})
    tables: ClassVar[Tables] = Tables(
        users="users",
        threads="threads",
        messages="messages",
        executions="executions",
        accounts="accounts",
        execution_states="execution_states",
        tool_calls="tool_calls",
        notes="notes",
        stages="stages",
        sessions="sessions",
    )
    sabotages: ClassVar[str] = "labkit.reference.sabotage.catalogue:SABOTAGES"
    """Where to find it with one faulty part each, for who proves checks."""
    parts: ClassVar[Parts] = Parts()
    processes: ClassVar[int] = 2
    """How many server processes there are."""
    limits: ClassVar[ConnectionLimits] = ConnectionLimits()
    """What each of them allows its clients."""
    environment: ClassVar[str] = "test"
    """By whose file the services of area 6 run."""

    def __init__(self, lease: Lease) -> None:
        self._assembly = assemble(lease, self.parts)
        self._token_key = Secret(secrets.token_urlsafe(_KEY_BYTES))
        self._running = Running(
            parts=self.parts.configuration,
            environment=self.environment,
            database_url=lease.platform_url,
            api_secret=Secret(secrets.token_urlsafe(_KEY_BYTES)),
        )
        self._configuration: LiveConfiguration | None = None
        self.service = self._service(self._configs(lease))
        self._front = self._assemble_front(self._assembly)

    @classmethod
    async def install(cls, lease: Lease) -> None:
        """Make the platform's schema in the leased database, as its owner; harmless twice."""
        await cls.parts.schema().install(lease)

    @property
    def secrets(self) -> Sequence[Secret]:
        """What the platform keeps to itself beside the lease's own secrets."""
        return (self._token_key, self._running.api_secret)

    @property
    def pipeline(self) -> WirePipeline:
        """Area 1: agents run in a server process, bound to the caller."""
        return self._front.pipeline

    @property
    def lifecycle(self) -> Executions:
        """Area 1: the states of executions."""
        return self._assembly.executions

    @property
    def notifications(self) -> WireNotifications:
        """Area 2: runs that go on by themselves, and their events."""
        return self._front.notifications

    @property
    def sockets(self) -> WireSockets:
        """Area 2: how the server processes speak over WebSockets."""
        return self._front.sockets

    @property
    def contexts(self) -> SessionContexts:
        """Area 3: contexts of users, each on a session of its own."""
        return self._front.contexts

    @property
    def data(self) -> Store:
        """Area 4: transactions, threads, messages, executions and accounts."""
        return self._assembly.store

    @property
    def cache(self) -> UserCache:
        """Area 5: texts that are kept for a time, and titles that are read through it."""
        return self._assembly.cache

    @property
    def configuration(self) -> Configuration:
        """Area 6: settings, and services that follow their changes."""
        if self._configuration is None:
            from labkit.reference.configuration.live import (  # noqa: PLC0415 - pydantic is slow
                live_configuration,
            )

            self._configuration = live_configuration(self._running, self._assembly.pool)
        return self._configuration

    @property
    def routing(self) -> MessageRouting:
        """Area 7: messages on their way, and what is said of quality."""
        return self._front.routing

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._assembly)
            stack.push_async_callback(self.service.close)
            stack.push_async_callback(self._close_configuration)
            self._exit = stack.pop_all()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._exit.aclose()

    async def _close_configuration(self) -> None:
        if self._configuration is not None:
            await self._configuration.close()

    def _configs(self, lease: Lease) -> Sequence[ServiceConfig]:
        spec = f"{type(self).__module__}:{type(self).__qualname__}"
        return [
            ServiceConfig(spec, lease, self._token_key, number, self.limits)
            for number in range(self.processes)
        ]

    def _service(self, configs: Sequence[ServiceConfig]) -> Doors:
        return Processes(configs)

    def _assemble_front(self, inner: Assembly) -> Front:
        allowed = self.limits
        limits = SocketLimits(allowed.frame_bytes, allowed.queue_frames, allowed.login_s)
        sockets = WireSockets(self.service, self.parts.tokens(self._token_key), limits)
        clients = Clients(sockets)
        replay = self.parts.replay(inner.store, self.parts.streams(inner.redis, inner.keys))
        notifications = WireNotifications(clients)
        work = Work(self.parts.sessions(inner.store), inner.cache, inner.history, notifications)
        return Front(
            sockets=sockets,
            notifications=notifications,
            pipeline=WirePipeline(clients, inner.history, replay),
            contexts=self.parts.contexts(work),
            routing=self.parts.routing(notifications, inner.history, inner.quality),
        )


class InKernel(Platform):
    """The same with one server in this process's own loop, where a breakpoint can stop it."""

    processes = 1

    def _service(self, configs: Sequence[ServiceConfig]) -> Doors:
        return KernelService(configs[0], self.parts)
