"""Platforms whose events or sockets have one faulty part.

Whole runs are judged in four of the five checks, so that some faults show in several of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from labkit.events import Event, EventType
from labkit.reference.clock import SteadyClock
from labkit.reference.events.follower import Follower, Take
from labkit.reference.events.replay import Replay, Replayed
from labkit.reference.events.streams import Published
from labkit.reference.execution.engine import Engine
from labkit.reference.execution.executions import Run
from labkit.reference.platform import Parts, Platform
from labkit.reference.routing.quality import Payload, Quality, QualityType
from labkit.reference.serving.connection import Connection
from labkit.reference.serving.requests import Requests
from labkit.reference.wire.frames import text_of
from labkit.reference.wire.tokens import Tokens
from labkit.sabotage import Sabotage
from labkit.targets.notifications import Notice

_AREA: Final = "websocket_notifications"
_FIVE: Final = "agent_websocket_events_all_five_critical_events"
_ISOLATION: Final = "websocket_user_isolation_concurrent_sessions"
_ERRORS: Final = "websocket_connection_error_handling"
_QUALITY: Final = "quality_message_router_integration"
_ORDERING: Final = "websocket_event_ordering_and_timing"

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


SABOTAGES: Final = (
    Sabotage.of(
        KindDropped,
        "kind-dropped",
        area=_AREA,
        promise="Every event of a run arrives.",
        stands_for="A client's list of known types, by which the rest falls through.",
        must=dict.fromkeys((_FIVE, _ISOLATION, _ERRORS, _ORDERING), "gap"),
    ),
    Sabotage.of(
        KindTwice,
        "kind-twice",
        area=_AREA,
        promise="Every event of a run arrives once.",
        stands_for="redis-py's retries from version 6 on: one PUBLISH, two messages.",
        must=dict.fromkeys((_FIVE, _ERRORS, _ORDERING), "duplicate-event"),
    ),
    Sabotage.of(
        WrongThread,
        "wrong-thread",
        area=_AREA,
        promise="An event names the thread that it belongs to.",
        stands_for="An envelope filled from whatever variable was at hand.",
        must=dict.fromkeys((_FIVE, _ERRORS, _ORDERING), "foreign-event"),
    ),
    Sabotage.of(
        Broadcast,
        "broadcast",
        area=_AREA,
        promise="A user's events reach that user's connections alone.",
        stands_for="A loop over all connections where one user's were meant.",
        must={_ISOLATION: "leak", _QUALITY: "foreign-event"},
    ),
    Sabotage.of(
        AnyToken,
        "any-token",
        area=_AREA,
        promise="A token is who it says only if its signature holds.",
        stands_for="Tokens decoded without being verified, such as JWT with `none`.",
        must={_ISOLATION: "token-not-refused"},
    ),
    Sabotage.of(
        OwnProcessOnly,
        "one-process-only",
        area=_AREA,
        promise="Events reach a user's connections to every server process.",
        stands_for="Connection registries in memory, and a second worker.",
        must={_ISOLATION: "missing-event"},
    ),
    Sabotage.of(
        NoReplay,
        "no-replay",
        area=_AREA,
        promise="Who was cut off is told the rest when coming again.",
        stands_for="A send that returned taken for delivery; Redis' pub/sub, at most once.",
        must={_ERRORS: "missing-event"},
    ),
    Sabotage.of(
        ReplayFromTheStart,
        "replay-from-start",
        area=_AREA,
        promise="What was seen is not told again.",
        stands_for="A resume that ignores its cursor.",
        must={_ERRORS: "duplicate-event"},
    ),
    Sabotage.of(
        SlowReaderBlocks,
        "slow-reader-blocks",
        area=_AREA,
        promise="A slow reader holds nobody else up.",
        stands_for="Awaiting each send in turn, without a queue of its own for each reader.",
        must={_ERRORS: "held-up"},
    ),
    Sabotage.of(
        RoutesSwapped,
        "routes-swapped",
        area=_AREA,
        promise="An alert arrives as an alert.",
        stands_for="Two handlers registered for each other's type.",
        must={_QUALITY: "wrong-route"},
    ),
    Sabotage.of(
        PayloadCut,
        "payload-cut",
        area=_AREA,
        promise="A payload arrives as it was sent.",
        stands_for="A flat schema in the middle that drops what is nested.",
        must={_QUALITY: "payload-changed"},
    ),
    Sabotage.of(
        TwoSwapped,
        "events-swapped",
        area=_AREA,
        promise="Events arrive in the order of their run.",
        stands_for="One task for each send: whichever is first, is first.",
        must=dict.fromkeys((_FIVE, _ERRORS, _ORDERING), "out-of-order"),
    ),
    Sabotage.of(
        GapInSeq,
        "gap-in-seq",
        area=_AREA,
        promise="A run's events are gapless.",
        stands_for="A bounded queue that drops in silence.",
        must={_ERRORS: "gap", _ORDERING: "gap"},
    ),
    Sabotage.of(
        WrongClock,
        "wrong-clock",
        area=_AREA,
        promise="Time stamps are those of the events.",
        stands_for="A clock of another host, or in another zone.",
        must={_FIVE: "clock-wrong", _ORDERING: "clock-wrong"},
    ),
)
