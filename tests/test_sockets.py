"""The lab's own WebSocket client keeps what came, waits no longer than told, and always closes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from labkit.errors import RecordError
from labkit.events import Event, EventType
from labkit.redaction import Secret
from labkit.sockets import Closed, Login, Socket, connected
from labkit.targets.notifications import Door, Notice, NoticeKind
from tests.reference.stage import asynchronous

TOKEN = Secret("a-token-of-the-test")
NEVER_S = 0.2
"""A deadline for what does not happen."""

Talk = Callable[[ServerConnection], Awaitable[None]]


class Words:
    """A dialect of the test's own: `type run`, and notices as `!kind message run`."""

    def headers(self, token: Secret) -> Mapping[str, str]:
        """The token in a header of its own."""
        return {"X-Word": token.reveal()}

    def first_frame(self, token: Secret) -> str:
        """The token after a question mark."""
        return f"?{token.reveal()}"

    def read(self, frame: str) -> Event | Notice:
        """What a frame says."""
        first, *others = frame.split()
        if first.startswith("!"):
            return Notice(NoticeKind(first[1:]), message=others[0], run=others[1])
        if first not in set(EventType):
            raise RecordError(f"{frame!r} says nothing")
        return Event(EventType(first), user="ann", ts=0, run=others[0])


@contextlib.asynccontextmanager
async def door(talk: Talk, **options: Any) -> AsyncIterator[Door]:
    """A real server that talks so to each connection."""
    async with serve(talk, "127.0.0.1", 0, compression=None, **options) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield Door("127.0.0.1", port)


@contextlib.asynccontextmanager
async def talking(talk: Talk, login: Login = Login.HEADER) -> AsyncIterator[Socket]:
    """A socket whose server talks so."""
    async with door(talk) as place, connected(Words(), place, TOKEN, login) as socket:
        yield socket


def saying(*frames: str | bytes) -> Talk:
    """Says these frames and then listens until the client goes."""

    async def talk(connection: ServerConnection) -> None:
        for frame in frames:
            await connection.send(frame)
        await connection.wait_closed()

    return talk


async def echo(connection: ServerConnection) -> None:
    """Give back every frame."""
    async for frame in connection:
        await connection.send(frame)


@asynchronous
async def test_keeps_every_frame_as_it_came_with_its_time() -> None:
    """Texts, bytes and repeats are kept raw and in order, each with the time on both clocks."""
    before_s, before_ms = time.monotonic(), 1000 * time.time()
    async with talking(saying("one", b"\x00two", "one")) as socket:
        assert await socket.until(lambda: len(socket.received) == 3)
        assert [frame.data for frame in socket.received] == ["one", b"\x00two", "one"]
        arrivals_s = [frame.at_s for frame in socket.received]
        assert arrivals_s == sorted(arrivals_s)
        assert before_s <= arrivals_s[0] <= arrivals_s[-1] <= time.monotonic()
        assert before_ms <= socket.received[0].at_ms <= 1000 * time.time()


@asynchronous
async def test_gives_the_events_of_a_run_up_to_its_end() -> None:
    """Another run's events and notices are not among them; repeats are."""
    frames = (
        "agent_started one",
        "agent_started two",
        "!accepted m one",
        "agent_started one",
        "agent_completed one",
    )
    async with talking(saying(*frames)) as socket:
        found = await socket.events("one")
        started, completed = EventType.AGENT_STARTED, EventType.AGENT_COMPLETED
        assert [event.type for event in found] == [started, started, completed]
        assert {event.run for event in found} == {"one"}
        heard = socket.heard_of("one")
        assert [one.says for one in heard] == list(found)
        assert heard[0].frame == socket.received[0]


@asynchronous
async def test_a_wait_that_expires_gives_what_there_is() -> None:
    """Neither a run without an end nor a notice that never comes raises."""
    async with talking(saying("agent_started one", "!accepted m one")) as socket:
        [event] = await socket.events("one", deadline_s=NEVER_S)
        assert event.type is EventType.AGENT_STARTED
        assert await socket.events("two", deadline_s=NEVER_S) == ()
        assert await socket.notice(NoticeKind.GONE, deadline_s=NEVER_S) is None
        assert not await socket.until(lambda: len(socket.received) > 2, deadline_s=NEVER_S)
        assert await socket.closed(deadline_s=NEVER_S) is None


@asynchronous
async def test_finds_the_notice_of_a_message_or_run() -> None:
    """A kind alone finds the first; a message or a run finds its own."""
    async with talking(saying("!accepted m one", "!refused n two", "!accepted n two")) as socket:
        accepted = NoticeKind.ACCEPTED
        assert await socket.notice(accepted) == Notice(accepted, message="m", run="one")
        assert await socket.notice(accepted, message="n") == Notice(
            accepted, message="n", run="two"
        )
        assert await socket.notice(accepted, run="two", message="n") is not None
        assert await socket.notice(accepted, run="two", message="m", deadline_s=NEVER_S) is None


@asynchronous
async def test_the_end_of_the_connection_ends_every_wait() -> None:
    """A wait for what can no longer come does not last until its deadline; the close is told."""

    async def refuse(connection: ServerConnection) -> None:
        await connection.send("agent_started one")
        await connection.close(1008, "not yours")

    async with talking(refuse) as socket:
        async with asyncio.timeout(10):
            assert len(await socket.events("one", deadline_s=60)) == 1
            assert await socket.notice(NoticeKind.GONE, deadline_s=60) is None
        assert await socket.closed() == Closed(1008, "not yours")
        assert not await socket.send("too late")
        assert await socket.ping() is None


@asynchronous
async def test_a_connection_that_breaks_off_has_closed_with_1006() -> None:
    """Where no word of the end comes, there is no code of the server's and no reason."""

    async def vanish(connection: ServerConnection) -> None:
        connection.transport.abort()

    async with talking(vanish) as socket:
        assert await socket.closed() == Closed(1006, "")


@pytest.mark.parametrize("login", Login)
def test_carries_the_token_as_it_is_told(login: Login) -> None:
    """In a header, in the first frame, or not at all."""
    seen: list[tuple[str | None, str | bytes]] = []

    async def look(connection: ServerConnection) -> None:
        assert connection.request is not None
        header = connection.request.headers.get("X-Word")
        seen.append((header, await connection.recv()))

    @asynchronous
    async def run() -> None:
        async with talking(look, login) as socket:
            await socket.send("hello")
            await socket.closed()

    run()
    token = TOKEN.reveal()
    expected = {Login.HEADER: (token, "hello"), Login.FIRST_FRAME: (None, f"?{token}")}
    assert seen == [expected.get(login, (None, "hello"))]


@asynchronous
async def test_an_answer_of_http_is_a_close_with_its_status() -> None:
    """A server that refuses the handshake itself has closed, and nothing can be sent."""

    def refuse(connection: ServerConnection, _request: Request) -> Response:
        return connection.respond(HTTPStatus.UNAUTHORIZED, "no token\n")

    async with (
        door(echo, process_request=refuse) as place,
        connected(Words(), place, TOKEN) as socket,
    ):
        assert await socket.closed() == Closed(401, "Unauthorized")
        assert not await socket.send("hello")
        assert await socket.ping() is None
        assert await socket.events("one") == ()
        socket.pause()
        socket.resume()
        socket.reset()


@asynchronous
async def test_nobody_there_is_an_error_of_the_connection() -> None:
    """A closed port, and a server that does not speak WebSocket, raise `ConnectionError`."""

    async def babble(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-nothing\r\n\r\n")
        writer.close()

    other = await asyncio.start_server(babble, "127.0.0.1", 0)
    port = other.sockets[0].getsockname()[1]
    for told in ("does not speak WebSocket", "Connect call failed"):
        with pytest.raises(ConnectionError, match=told):
            async with connected(Words(), Door("127.0.0.1", port), TOKEN):
                pass
        other.close()
        await other.wait_closed()


@asynchronous
async def test_sends_texts_and_bytes_and_measures_the_way() -> None:
    """Frames of both kinds go out whole, also large ones; a ping takes a time above 0."""
    async with talking(echo) as socket:
        for frame in ("text", b"\x00bytes", "x" * 900_000):
            assert await socket.send(frame)
        assert await socket.until(lambda: len(socket.received) == 3)
        assert [frame.data for frame in socket.received] == ["text", b"\x00bytes", "x" * 900_000]
        there_and_back_ms = await socket.ping()
        assert there_and_back_ms is not None
        assert 0 < there_and_back_ms < 20_000


@asynchronous
async def test_a_paused_reader_reads_nothing_and_stops_its_server() -> None:
    """The server cannot go on once the buffers are full; all of it comes after the pause."""
    frames, size = 4000, 4096
    sent = 0
    stuck, paused = asyncio.Event(), asyncio.Event()

    async def pour(connection: ServerConnection) -> None:
        nonlocal sent
        await paused.wait()
        for number in range(frames):
            writing = asyncio.create_task(connection.send(json.dumps(number).rjust(size)))
            done, _ = await asyncio.wait({writing}, timeout=1)
            stuck.set() if not done else None
            await writing
            sent += 1
        await connection.wait_closed()

    async with talking(pour) as socket:
        socket.pause()
        socket.pause()
        paused.set()
        async with asyncio.timeout(15):
            await stuck.wait()
        assert sent < frames
        assert len(socket.received) == 0
        assert await socket.ping(deadline_s=NEVER_S) is None
        socket.resume()
        assert await socket.until(lambda: len(socket.received) == frames)
        numbers = [int(frame.data) for frame in socket.received]
        assert numbers == list(range(frames))


@asynchronous
async def test_a_reset_breaks_off_without_a_word() -> None:
    """The server sees a connection that broke, not one that was closed."""
    codes: list[int | None] = []
    over = asyncio.Event()

    async def watch(connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            await connection.recv()
        codes.append(connection.close_code)
        over.set()

    async with talking(watch) as socket:
        socket.reset()
        socket.reset()
        assert await socket.closed() == Closed(1006, "")
        await over.wait()
    assert codes == [1006]


@asynchronous
async def test_always_closes_in_time() -> None:
    """Neither a server that does not answer nor a paused reader holds up the end of the block."""
    over = asyncio.Event()

    async def deaf(connection: ServerConnection) -> None:
        connection.transport.pause_reading()
        await over.wait()
        connection.transport.abort()

    for is_paused in (False, True):
        over.clear()
        async with door(deaf) as place:
            async with asyncio.timeout(10), connected(Words(), place, TOKEN) as socket:
                assert await socket.send("x" * 20_000_000, deadline_s=NEVER_S) is False
                if is_paused:
                    socket.pause()
            assert await socket.closed() == Closed(1006, "")
            over.set()


@asynchronous
async def test_closes_when_its_block_raises() -> None:
    """The connection ends properly, and the error goes on."""
    over = asyncio.Event()
    codes: list[int | None] = []

    async def watch(connection: ServerConnection) -> None:
        await connection.wait_closed()
        codes.append(connection.close_code)
        over.set()

    async with door(watch) as place:
        with pytest.raises(ArithmeticError):
            async with connected(Words(), place, TOKEN):
                raise ArithmeticError
        await over.wait()
    assert codes == [1000]


@pytest.mark.parametrize("frame", ["nonsense", b"agent_started one"])
@asynchronous
async def test_what_cannot_be_read_is_an_error_once_it_is_looked_at(frame: str | bytes) -> None:
    """A frame in another dialect, and a binary one, are kept, and raise when they are read."""
    async with talking(saying(frame)) as socket:
        assert await socket.until(lambda: socket.received)
        with pytest.raises(RecordError):
            await socket.events("one")
        assert [one.data for one in socket.received] == [frame]
