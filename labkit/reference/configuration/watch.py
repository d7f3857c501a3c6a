"""One process's settings, which follow what is changed while it runs."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final, Self

from labkit.errors import InvalidSettings, ServiceUnavailable
from labkit.reference.clock import Clock
from labkit.reference.configuration.connecting import ServiceConnection, connected
from labkit.reference.configuration.loading import Loaded
from labkit.reference.configuration.overrides import ADMIT, CHANNEL, Overrides, current
from labkit.reference.data.pool import FAILURES
from labkit.reference.tasks import end
from labkit.targets.configuration import SettingNotice

_KEPT_NOTICES: Final = 1_000

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class WatchLimits:
    """How a watch paces itself, in seconds."""

    look_s: float = 1.0
    """How often it reads without having been called: the safety net."""
    again_s: float = 0.2
    """How soon one that lost its connection begins again."""


@dataclass(frozen=True)
class Worker:
    """Which process it is."""

    service: str
    environment: str
    number: int
    """From 0, among the processes of the service."""


class Watch:
    """Keeps the settings of one process up to date, while it is entered.

    Entering it reads them for the first time: raises `InvalidSettings` or `ServiceUnavailable` when
    that cannot be done. Later, a reading that fails leaves them as they are, and is logged.
    """

    def __init__(
        self,
        worker: Worker,
        load: Callable[[Overrides], Loaded],
        apply: Callable[[Loaded], None],
        clock: Clock,
        limits: WatchLimits | None = None,
    ) -> None:
        self.worker = worker
        self._load = load
        self._apply = apply
        self._clock = clock
        self._limits = limits or WatchLimits()
        self._settings = load({})
        self._notices: deque[SettingNotice] = deque(maxlen=_KEPT_NOTICES)
        self._called = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def settings(self) -> Loaded:
        """What the process works with now."""
        return self._settings

    @property
    def failure(self) -> asyncio.Future[None]:
        """What ends only when it can follow no longer, with the reason."""
        if self._task is None:
            raise AssertionError("it is entered before it is waited for")
        return self._task

    @property
    def notices(self) -> Sequence[SettingNotice]:
        """What has changed under the process, oldest first; the newest 1,000."""
        return tuple(self._notices)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            connection = await self._connect(stack)
            first = self._load(await self.read(connection))
            self._apply(first)
            self._settings = first
            self._task = asyncio.create_task(
                self._work(connection, stack.pop_all()), name="watch of the settings"
            )
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._task:
            await end(self._task)

    async def _connect(self, stack: AsyncExitStack) -> ServiceConnection:
        """A connection that listens; what happens from then on is not missed."""
        connection = await stack.enter_async_context(connected(self.worker.service, self._settings))
        await connection.execute(ADMIT, False)  # noqa: FBT003 - it is the statement's argument
        connection.add_termination_listener(lambda _: self._called.set())
        await self.listen(connection)
        return connection

    async def listen(self, connection: ServiceConnection) -> None:
        """Be called when something changes."""
        await connection.add_listener(CHANNEL, lambda *_: self._called.set())

    async def read(self, connection: ServiceConnection) -> Overrides:
        """All overrides, of one moment."""
        return await current(connection, self.worker.environment)

    async def _work(self, connection: ServiceConnection, stack: AsyncExitStack) -> None:
        while True:
            async with stack:
                try:
                    await self._follow(connection)
                except (*FAILURES, TimeoutError) as error:
                    _log.warning("the settings' connection is lost: %s", type(error).__name__)
            connection, stack = await self._connect_again()

    async def _connect_again(self) -> tuple[ServiceConnection, AsyncExitStack]:
        while True:
            await asyncio.sleep(self._limits.again_s)
            try:
                async with AsyncExitStack() as stack:
                    connection = await self._connect(stack)
                    return connection, stack.pop_all()
            except (*FAILURES, TimeoutError, ServiceUnavailable) as error:
                _log.warning("settings stay as they are, unread: %s", type(error).__name__)

    async def _follow(self, connection: ServiceConnection) -> None:
        while True:
            overrides = await self.read(connection)
            try:
                self.take(self._load(overrides))
            except InvalidSettings as error:
                _log.error("settings stay as they are: %s", error)
            await self._wait()

    async def _wait(self) -> None:
        """Wait until it is called, which may have been before, or the time is over."""
        try:
            async with asyncio.timeout(self._limits.look_s):
                await self._called.wait()
        except TimeoutError:
            return
        self._called.clear()

    def take(self, loaded: Loaded) -> None:
        """Work with these settings from now on: with all of them at once."""
        changed = loaded.changed_since(self._settings)
        self._settings = loaded
        if not changed:
            return
        self._apply(loaded)
        at_ms = self._clock()
        self._notices.extend(SettingNotice(key, at_ms) for key in changed)
        _log.info("settings have changed: %s", ", ".join(changed))
