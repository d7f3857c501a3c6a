"""One client's connection: a reader and a writer, and a bounded queue between platform and client.

Only the writer waits for the client. Events are put into the queue without waiting, and a client
for whom it overflows, or who takes no frame for too long, is dropped; answers wait for their place,
which slows down none but the client who asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from websockets.exceptions import ConnectionClosed

from labkit.errors import Denied, Rejected
from labkit.events import Event
from labkit.ids import ConnectionID
from labkit.reference.events.cursors import Cursors, Standing
from labkit.reference.events.drops import Drops
from labkit.reference.events.replay import Gone, Replay
from labkit.reference.events.streams import Published
from labkit.reference.serving.client_socket import ClientSocket, Left
from labkit.reference.serving.requests import Requests, refusal
from labkit.reference.tasks import end
from labkit.reference.wire.frames import (
    Authenticate,
    BadFrame,
    ClientFrame,
    NotJson,
    Resume,
    parse,
    text_of,
)
from labkit.targets.notifications import Notice, NoticeKind

_LONGEST_ID: Final = 200

_Waiting: TypeAlias = Published | Notice | Resume
"""What the writer still has to see to."""


@dataclass(frozen=True)
class ConnectionLimits:
    """What one connection is allowed; sizes in bytes, times in seconds."""

    frame_bytes: int = 1_000_000
    """The largest frame that is taken."""
    queue_frames: int = 250
    """How many frames may wait for the client."""
    login_s: float = 5.0
    """How long it may stay without a token."""
    ping_every_s: float = 20.0
    """How often it is asked for a sign of life."""
    pong_within_s: float = 20.0
    """How long that sign may take."""
    send_s: float = 20.0
    """How long it may take no frame at all while one waits for it."""
    close_s: float = 2.0
    """How long it has for its part of a goodbye; then it is cut."""
    buffer_bytes: int = 65_536
    """How much the operating system is asked to hold for a client that does not read."""


class Closing(Exception):
    """The connection is to be closed with this code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


class TooSlow(Closing):
    """The client reads more slowly than its events come."""

    def __init__(self) -> None:
        super().__init__(1013, "too slow: resume your runs on a new connection")


class Connection:
    """A connection of a user who is known, from its welcome to its end."""

    def __init__(
        self,
        socket: ClientSocket,
        user: str,
        replay: Replay,
        drops: Drops,
        limits: ConnectionLimits,
    ) -> None:
        self.id = ConnectionID.new()
        self._socket = socket
        self._user = user
        self._replay = replay
        self._drops = drops
        self._limits = limits
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(limits.queue_frames)
        self._has_overflowed = asyncio.Event()
        self._cursors = Cursors()
        # Before any event, which may come as soon as the user is followed.
        self._queue.put_nowait(Notice(NoticeKind.WELCOME, connection=self.id))

    async def deliver(self, published: Published) -> None:
        """Let the client have an event when its turn comes; never waits for the client."""
        try:
            self._queue.put_nowait(published)
        except asyncio.QueueFull:
            self._has_overflowed.set()

    async def run(self, requests: Requests) -> None:
        """Welcome the client and serve it until it leaves.

        Raises `Closing` when the server is to close, and whatever else ends it.
        """
        try:
            await _first_end_of(self._read(requests), self._write(), self._overflow())
        except (ConnectionClosed, Left):
            return
        except TooSlow:
            await self._drops.remember(self._user, self.id)
            raise

    async def forward(self, event: Event) -> None:
        """Tell the client an event, once it is its turn."""
        await self.send(event)

    async def send(self, said: Event | Notice) -> None:
        """Send a frame; raises `TooSlow` when the client does not take it in time."""
        try:
            async with asyncio.timeout(self._limits.send_s):
                await self._socket.say(text_of(said))
        except TimeoutError as error:
            raise TooSlow from error

    async def _overflow(self) -> None:
        await self._has_overflowed.wait()
        raise TooSlow

    async def _read(self, requests: Requests) -> None:
        async for text in self._socket:
            try:
                frame = read_frame(text)
            except BadFrame as error:
                await self._queue.put(refusal(error, message=error.message))
            else:
                await self._queue.put(await self._reaction(requests, frame))

    async def _reaction(self, requests: Requests, frame: ClientFrame) -> _Waiting:
        """What the writer is to do about a frame; what is asked for is done by then."""
        match frame:
            case Authenticate():
                raise Closing(1008, "the connection has its user already")
            case Resume():
                return frame
            case _:
                return await requests.answer(self._user, frame)

    async def _write(self) -> None:
        while True:
            match await self._queue.get():
                case Published() as published:
                    await self._tell(published)
                case Resume() as resume:
                    await self._resume(resume)
                case Notice() as notice:
                    await self.send(notice)

    async def _tell(self, published: Published) -> None:
        standing = self._cursors.standing(published)
        if standing is Standing.AHEAD:
            await self._catch_up(str(published.event.run))
            standing = self._cursors.standing(published)
        if standing is Standing.NEXT:
            self._cursors.told(published)
            await self.forward(published.event)

    async def _catch_up(self, run: str) -> None:
        """Tell what is missing of a run, or that it is gone."""
        try:
            replayed = await self._replay.events(self._user, run, self._cursors.last(run))
        except Gone as error:
            self._cursors.leave(run)
            await self.send(Notice(NoticeKind.GONE, run=run, reason=str(error)))
        else:
            await self._tell_again(replayed.events)

    async def _resume(self, asked: Resume) -> None:
        was_dropped = await self._was_dropped(asked.connection)
        try:
            replayed = await self._replay.events(self._user, asked.run, asked.after)
        except Gone as error:
            gone = Notice(
                NoticeKind.GONE, run=asked.run, reason=str(error), was_dropped=was_dropped
            )
            await self.send(gone)
        except (Denied, Rejected) as error:
            await self.send(refusal(error, run=asked.run))
        else:
            self._cursors.follow(asked.run, asked.after)
            await self._tell_again(replayed.events)
            resumed = Notice(
                NoticeKind.RESUMED,
                run=asked.run,
                was_dropped=was_dropped,
                data={"is_over": replayed.is_over},
            )
            await self.send(resumed)

    async def _tell_again(self, events: Sequence[Published]) -> None:
        for published in events:
            self._cursors.told(published)
            await self.forward(published.event)

    async def _was_dropped(self, connection: str | None) -> bool:
        if connection is None or len(connection) > _LONGEST_ID:
            return False
        return await self._drops.was_dropped(self._user, connection)


def read_frame(frame: str | bytes) -> ClientFrame:
    """What a client's frame says; `Closing` for one that is binary or not JSON, or `BadFrame`."""
    if isinstance(frame, bytes):
        raise Closing(1003, "binary frames are not taken")
    try:
        return parse(frame)
    except NotJson as error:
        raise Closing(1007, str(error)) from error


async def _first_end_of(*jobs: Coroutine[Any, Any, None]) -> None:
    """Run the jobs side by side until one ends, then end the others; raises what that one did."""
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end(*tasks)
    for task in done:
        task.result()
