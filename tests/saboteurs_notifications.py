"""Platforms with one faulty part each, to see that the notifications notebook notices.

Each is named on the command line as `--target tests.saboteurs_notifications:NoReplay`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from labkit.events import Event, EventType
from labkit.reference.clock import SteadyClock
from labkit.reference.connection import Connection
from labkit.reference.engine import Engine
from labkit.reference.executions import Run
from labkit.reference.follower import Follower, Take
from labkit.reference.platform import Parts, Platform
from labkit.reference.quality import Payload, Quality, QualityType
from labkit.reference.replay import Replay, Replayed
from labkit.reference.requests import Requests
from labkit.reference.streams import Published
from labkit.reference.tokens import Tokens
from labkit.reference.wire import text_of
from labkit.targets.notifications import Notice

_OWN_RUNS: Final[set[str]] = set()
"""The runs that this server process works on."""


class _WithoutThinking(Connection):
    async def forward(self, event: Event) -> None:
        if event.type is not EventType.AGENT_THINKING:
            await super().forward(event)


class KindDropped(Platform):
    """One kind of event is not told."""

    parts = Parts(connection=_WithoutThinking)


class _EndingTwice(Connection):
    async def forward(self, event: Event) -> None:
        await super().forward(event)
        if event.type is EventType.TOOL_COMPLETED:
            await super().forward(event)


class KindTwice(Platform):
    """One kind of event is told twice."""

    parts = Parts(connection=_EndingTwice)


class _OfAnotherThread(Connection):
    async def forward(self, event: Event) -> None:
        thread = event.user if event.type is EventType.TOOL_COMPLETED else event.thread
        await super().forward(replace(event, thread=thread))


class WrongThread(Platform):
    """One kind of event names a thread that is not its own."""

    parts = Parts(connection=_OfAnotherThread)


class _ToEverybody(Follower):
    def takers(self, _published: Published) -> Iterable[Take]:
        return [take for feed in self._feeds.values() for take in feed.takers]


class Broadcast(Platform):
    """Every connection is told everybody's events."""

    parts = Parts(follower=_ToEverybody)


class _Trusting(Tokens):
    def is_signed(self, _said: bytes, _signature: bytes) -> bool:
        return True


class AnyToken(Platform):
    """Tokens are read and not verified."""

    parts = Parts(tokens=_Trusting)


class _Noting(Engine):
    def start(self, run: Run) -> None:
        _OWN_RUNS.add(run.id)
        super().start(run)


class _OfOwnRuns(Follower):
    def takers(self, published: Published) -> Iterable[Take]:
        run = published.event.run
        return super().takers(published) if run is None or run in _OWN_RUNS else ()


class OwnProcessOnly(Platform):
    """A run's events reach only the connections to the process that works on it."""

    parts = Parts(engine=_Noting, follower=_OfOwnRuns)


class _Forgetful(Replay):
    async def events(self, user: str, run: str, after: int | None) -> Replayed:
        return replace(await super().events(user, run, after), events=())


class NoReplay(Platform):
    """Who comes again is told only what happens from then on."""

    parts = Parts(replay=_Forgetful)


class _FromTheStart(Replay):
    async def events(self, user: str, run: str, _after: int | None) -> Replayed:
        return await super().events(user, run, None)


class ReplayFromTheStart(Platform):
    """Who comes again is told everything again."""

    parts = Parts(replay=_FromTheStart)


class _Unqueued(Connection):
    _has_ended = False

    async def deliver(self, published: Published) -> None:
        if not self._has_ended:
            await self._queue.put(published)

    async def send(self, said: Event | Notice) -> None:
        await self._socket.say(text_of(said))

    async def run(self, requests: Requests) -> None:
        try:
            await super().run(requests)
        finally:
            self._has_ended = True
            while not self._queue.empty():  # who waits for room need wait no longer
                self._queue.get_nowait()


class SlowReaderBlocks(Platform):
    """The process waits for each connection in turn to take its events."""

    parts = Parts(connection=_Unqueued)


class _Confused(Quality):
    def _event(self, user: str, kind: QualityType, payload: Payload) -> Event:
        swapped = {QualityType.ALERT: QualityType.REPORT, QualityType.REPORT: QualityType.ALERT}
        return super()._event(user, swapped.get(kind, kind), payload)


class RoutesSwapped(Platform):
    """Alerts are told as reports, and the other way round."""

    parts = Parts(quality=_Confused)


class _Cutting(Quality):
    def _event(self, user: str, kind: QualityType, payload: Payload) -> Event:
        event = super()._event(user, kind, payload)
        scores = {name: value for name, value in payload.items() if not isinstance(value, dict)}
        return replace(event, data=scores)


class PayloadCut(Platform):
    """What is nested in a payload is not told."""

    parts = Parts(quality=_Cutting)


class _Swapping(Connection):
    _kept: Event | None = None

    async def forward(self, event: Event) -> None:
        if event.type is EventType.TOOL_EXECUTING and self._kept is None:
            self._kept = event
            return
        await super().forward(event)
        if self._kept is not None and self._kept.run == event.run:
            kept, self._kept = self._kept, None
            await super().forward(kept)


class TwoSwapped(Platform):
    """Of two neighbouring events of a run, the later is told first."""

    parts = Parts(connection=_Swapping)


class _Losing(Connection):
    _told = 0

    async def forward(self, event: Event) -> None:
        self._told += 1
        if self._told % 20 or event.type.is_end:
            await super().forward(event)


class GapInSeq(Platform):
    """Every twentieth event of a connection is lost, unless it is an end."""

    parts = Parts(connection=_Losing)


class _OfYesterday(SteadyClock):
    def __call__(self) -> int:
        return super().__call__() - 86_400_000


class WrongClock(Platform):
    """Time stamps come from a clock that is a day slow."""

    parts = Parts(clock=_OfYesterday)
