"""Clients that do what they must not: each is answered as specified, and nobody else notices.

While each of them has its way, the run of another user goes on at the same server process.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from labkit.events import EventType
from labkit.redaction import Secret
from labkit.reference import Platform
from labkit.reference.serving.connection import ConnectionLimits
from labkit.reference.wire.frames import Cancel, Continue, text_of
from labkit.services.endpoints import Lease
from labkit.sockets import Closed, Login, Socket, connected
from labkit.targets.notifications import Door, NoticeKind
from tests.reference.stage import asynchronous, new_user
from tests.reference.test_service import health

HOSTILE_CONNECTIONS = 100
FRAMES_OF_EACH = 10
LARGE_BYTES = 10_000_000
UNREAD_BYTES = 15_000
UNREAD_MESSAGES = 60


class Single(Platform):
    """One server process, whose queues alone tell it that a reader is too slow."""

    processes = 1
    limits = ConnectionLimits(queue_frames=50, send_s=60.0, ping_every_s=60.0)


class Brisk(Single):
    """One that does not wait for long for a token or a sign of life."""

    limits = ConnectionLimits(login_s=5.0, ping_every_s=1.0, pong_within_s=5.0)


@dataclass(frozen=True)
class Scene:
    """A platform with its door, a hostile user, and a run of another's that goes on."""

    target: Platform
    door: Door
    user: str
    thread: str
    other: str
    run_of_other: str

    def connected(
        self, token: Secret | None = None, login: Login = Login.HEADER
    ) -> AbstractAsyncContextManager[Socket]:
        """A connection of the hostile user."""
        sockets = self.target.sockets
        return connected(sockets, self.door, token or sockets.token(self.user), login)


@asynccontextmanager
async def scene(
    lease: Lease, platform: type[Platform] = Single, *, slow_s: float = 1.0
) -> AsyncIterator[Scene]:
    """A run of a good user is under way in the block; in the end it was told in whole, in order.

    Its user was connected all the time, and the same server process is there.
    """
    async with platform(lease) as target:
        [door] = await target.sockets.doors()
        user, other = await new_user(target.data), await new_user(target.data)
        thread = await target.data.create_thread(user, "hostile")
        quiet = await target.data.create_thread(other, "quiet")
        async with connected(target.sockets, door, target.sockets.token(other)) as socket:
            await socket.send(target.sockets.message(quiet, f"slow {slow_s}", message="m1"))
            accepted = await socket.notice(NoticeKind.ACCEPTED, message="m1")
            assert accepted is not None
            assert accepted.run is not None
            yield Scene(target, door, user, thread, other, accepted.run)
            events = await socket.events(accepted.run)
            assert [event.seq for event in events] == list(range(6))
            assert events[-1].type is EventType.AGENT_COMPLETED
            assert await socket.closed(deadline_s=0) is None
        assert await target.sockets.doors() == [door]


@asynchronous
async def test_a_bad_token_is_refused_with_the_reason(installed: Lease) -> None:
    """In a header and in the first frame: 1008, whatever is wrong with it; never a welcome."""
    async with scene(installed) as on:
        good = on.target.sockets.token(on.user).reveal()
        for text in ("", "nonsense", good[:-2], f"{good}x", good.replace(".", "..")):
            for login in (Login.HEADER, Login.FIRST_FRAME):
                async with on.connected(Secret(text), login) as socket:
                    closed = await socket.closed()
                    assert closed is not None
                    assert (closed.code, bool(closed.reason)) == (1008, True)
                    assert not socket.received


@asynchronous
async def test_a_foreign_run_is_refused_in_the_words_for_none(installed: Lease) -> None:
    """To resume, to cancel and to go on: the same words as for a run that nobody has."""
    async with scene(installed) as on, on.connected() as socket:
        sockets = on.target.sockets
        for frame in (
            sockets.resume(on.run_of_other, None),
            sockets.resume(on.run_of_other, 0),
            text_of(Cancel(on.run_of_other)),
            text_of(Continue(on.run_of_other)),
        ):
            reasons = []
            for run in (on.run_of_other, "run_of_nobody"):
                await socket.send(frame.replace(on.run_of_other, run))
                notice = await socket.notice(NoticeKind.REFUSED, run=run)
                assert notice is not None
                reasons.append(notice.reason.replace(run, "it"))
            assert reasons[0] == reasons[1]
        assert not socket.heard_of(on.run_of_other)
        assert await socket.ping() is not None


@asynchronous
async def test_a_frame_of_ten_megabytes_is_too_large(installed: Lease) -> None:
    """1009, before it was taken in whole; in JSON or not."""
    async with scene(installed) as on:
        no_json = "x" * LARGE_BYTES
        for text in (no_json, on.target.sockets.message(on.thread, no_json, message="m1")):
            async with on.connected() as socket:
                await socket.notice(NoticeKind.WELCOME)
                await socket.send(text)
                closed = await socket.closed()
                assert closed is not None
                assert closed.code == 1009


@asynchronous
async def test_a_thousand_frames_of_random_bytes_do_no_harm(installed: Lease) -> None:
    """Binary ones close with 1003, texts with 1007; what is no frame at all ends somehow."""
    generator = random.Random(20260101)
    async with scene(installed, slow_s=2.0) as on:
        headers = on.target.sockets.headers(on.target.sockets.token(on.user))
        uri = f"ws://{on.door.host}:{on.door.port}{on.door.path}"

        async def send(kind: str, frames: list[bytes]) -> int | None:
            async with connect(uri, additional_headers=headers, proxy=None) as connection:
                await connection.recv()
                try:
                    for frame in frames:
                        if kind == "raw":
                            connection.transport.write(frame)
                        else:
                            await connection.send(frame, text=kind == "text")
                except ConnectionClosed:
                    pass  # the first was enough
                if kind == "raw":
                    connection.transport.abort()
                await connection.wait_closed()
                return connection.close_code

        kinds = [("binary", 1003), ("text", 1007), ("raw", 1006)]
        codes = []
        for number in range(HOSTILE_CONNECTIONS):
            kind, _ = kinds[number % len(kinds)]
            frames = [generator.randbytes(generator.randint(8, 300)) for _ in range(FRAMES_OF_EACH)]
            codes.append(await send(kind, frames))
        expected = [kinds[number % len(kinds)][1] for number in range(HOSTILE_CONNECTIONS)]
        assert codes == expected


@asynchronous
async def test_a_half_open_connection_is_ended(installed: Lease) -> None:
    """One without a handshake, one without a token, and one that no longer answers pings."""
    async with scene(installed, Brisk, slow_s=6.0) as on:
        reader, writer = await asyncio.open_connection(on.door.host, on.door.port)
        async with on.connected(login=Login.NONE) as nameless, on.connected() as silent:
            await silent.notice(NoticeKind.WELCOME)
            silent.pause()
            assert await nameless.closed() == Closed(1008, "no token within 5 s")
            assert await reader.read() == b""
            while await connections_of(on) > 1:
                pass
        writer.close()
        await writer.wait_closed()


async def connections_of(on: Scene) -> int:
    """How many connections the server process has."""
    report = await health(on.door)
    return int(str(report["connections"]))


@asynchronous
async def test_a_client_that_never_reads_is_dropped_and_told_when_it_resumes(
    installed: Lease,
) -> None:
    """It is cut off after what its queue holds; the same user's other connection is not."""
    async with scene(installed, slow_s=3.0) as on, on.connected() as reading:
        sockets = on.target.sockets
        async with on.connected() as deaf:
            welcome = await deaf.notice(NoticeKind.WELCOME)
            assert welcome is not None
            deaf.pause()
            last = ""
            for number in range(UNREAD_MESSAGES):
                text = f"{number} {'x' * UNREAD_BYTES}"
                await reading.send(sockets.message(on.thread, text, message=f"m{number}"))
                accepted = await reading.notice(NoticeKind.ACCEPTED, message=f"m{number}")
                assert accepted is not None
                assert accepted.run is not None
                last = accepted.run
                # Its own queue, as long as the other's, never holds more than this.
                assert len(await reading.events(last)) == 3
            while await connections_of(on) > 2:
                pass
        async with on.connected() as again:
            await again.send(sockets.resume(last, None, connection=welcome.connection))
            resumed = await again.notice(NoticeKind.RESUMED, run=last)
            assert resumed is not None
            assert resumed.was_dropped
            assert len(again.heard_of(last)) == 3
