"""The target's own WebSocket client, before servers that behave and servers that do not."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve

from labkit.errors import Denied, RecordError, Rejected, ServiceUnavailable
from labkit.events import Event, EventType
from labkit.redaction import Secret
from labkit.reference.wire.client import ClientLimits, Clients, connected
from labkit.reference.wire.frames import Continue, Resume, Submit, parse, text_of
from labkit.reference.wire.sockets import WireSockets
from labkit.reference.wire.tokens import Tokens
from labkit.targets.notifications import Door, Notice, NoticeKind, SocketLimits
from tests.reference.stage import asynchronous

SHORT = ClientLimits(open_s=0.3, close_s=0.3)
PATIENT = ClientLimits()

WELCOME = Notice(NoticeKind.WELCOME, connection="c1")
MESSAGE = Submit("m1", "t1", "hello")


def event(seq: int, kind: EventType, run: str = "r1") -> Event:
    """An event of a run."""
    return Event(type=kind, user="u1", ts=1, seq=seq, thread="t1", run=run)


STARTED = event(0, EventType.AGENT_STARTED)
COMPLETED = event(1, EventType.AGENT_COMPLETED)


@asynccontextmanager
async def server(handle: Callable[[ServerConnection], Awaitable[None]]) -> AsyncIterator[Door]:
    """A server that treats each connection as the test says."""
    async with serve(handle, "127.0.0.1", 0) as listening:
        host, port = next(iter(listening.sockets)).getsockname()
        yield Door(host, port)


def script(*said: Event | Notice, after: int = 0) -> Callable[[ServerConnection], Awaitable[None]]:
    """Say a welcome, hear `after` frames, say the rest, and hold the connection open."""

    async def handle(connection: ServerConnection) -> None:
        await connection.send(text_of(WELCOME))
        for _ in range(after):
            await connection.recv()
        for one in said:
            await connection.send(text_of(one))
        await connection.wait_closed()

    return handle


@asynchronous
async def test_events_that_come_before_the_answer_are_not_lost() -> None:
    """The run is told in whole, and what is of another run is left out."""
    other = event(0, EventType.AGENT_STARTED, run="r2")
    accepted = Notice(NoticeKind.ACCEPTED, message="m1", run="r1")
    async with (
        server(script(other, STARTED, accepted, COMPLETED, after=1)) as door,
        connected(door, {}, PATIENT) as client,
    ):
        run = await client.submit(MESSAGE)
        assert run == "r1"
        assert [event async for event in client.events(run)] == [STARTED, COMPLETED]


@asynchronous
async def test_events_come_through_as_often_as_the_server_sends_them() -> None:
    """The client puts nothing right: a server that repeats or skips is seen to do so."""
    accepted = Notice(NoticeKind.ACCEPTED, message="m1", run="r1")
    async with (
        server(script(accepted, STARTED, STARTED, event(5, EventType.AGENT_FAILED))) as door,
        connected(door, {}, PATIENT) as client,
    ):
        told = [event.seq async for event in client.events(await client.submit(MESSAGE))]
    assert told == [0, 0, 5]


@pytest.mark.parametrize(
    ("error", "raised"), [("denied", Denied), ("rejected", Rejected)], ids=["denied", "rejected"]
)
def test_a_refusal_is_raised_as_what_it_is(error: str, raised: type[Exception]) -> None:
    """The server's reason comes through."""

    @asynchronous
    async def ask() -> None:
        refused = Notice(
            NoticeKind.REFUSED, message="m1", reason="for a reason", data={"error": error}
        )
        async with server(script(refused)) as door, connected(door, {}, PATIENT) as client:
            with pytest.raises(raised, match="for a reason"):
                await client.submit(MESSAGE)

    ask()


@asynchronous
async def test_a_replay_ends_with_the_run_or_with_word_that_it_is_over() -> None:
    """Both ways of a run that goes on, and of one that was over and is known to its end."""
    lasting = Notice(NoticeKind.RESUMED, run="r1", data={"is_over": False})
    over = Notice(NoticeKind.RESUMED, run="r1", data={"is_over": True})
    for said, told in (
        ((STARTED, lasting, COMPLETED), [STARTED, COMPLETED]),
        ((over,), []),
    ):
        async with server(script(*said)) as door, connected(door, {}, PATIENT) as client:
            assert [event async for event in client.replay("r1", None)] == told


@asynchronous
async def test_a_replay_tells_once_what_came_live_before_it() -> None:
    """A run that began between the welcome and the asking is told from there, and then again."""
    thinking = event(1, EventType.AGENT_THINKING)
    resumed = Notice(NoticeKind.RESUMED, run="r1")
    completed = event(2, EventType.AGENT_COMPLETED)
    said = (STARTED, thinking, STARTED, thinking, resumed, completed)
    for after, told in ((None, [STARTED, thinking, completed]), (0, [thinking, completed])):
        async with server(script(*said)) as door, connected(door, {}, PATIENT) as client:
            assert [one async for one in client.replay("r1", after)] == told


@asynchronous
async def test_what_is_gone_is_rejected() -> None:
    """A replay that is no longer possible is not an empty one."""
    gone = Notice(NoticeKind.GONE, run="r1", reason="too long ago")
    async with server(script(gone)) as door, connected(door, {}, PATIENT) as client:
        with pytest.raises(Rejected, match="too long ago"):
            await anext(client.replay("r1", 3))


@asynchronous
async def test_a_run_is_followed_before_it_goes_on() -> None:
    """What is asked: first the events after those that were told, then to go on."""
    heard = []

    async def handle(connection: ServerConnection) -> None:
        await connection.send(text_of(WELCOME))
        for kind in (NoticeKind.RESUMED, NoticeKind.ACCEPTED):
            heard.append(parse(str(await connection.recv())))
            await connection.send(text_of(Notice(kind, run="r1")))
        await connection.wait_closed()

    async with server(handle) as door, connected(door, {}, PATIENT) as client:
        await client.follow("r1", 3)
        await client.go_on("r1")
    assert heard == [Resume("r1", 3), Continue("r1")]


@asynchronous
async def test_headers_travel_with_the_handshake() -> None:
    """The token that they carry is there before the first frame."""
    seen = []

    async def handle(connection: ServerConnection) -> None:
        assert connection.request is not None
        seen.append(connection.request.headers["Authorization"])
        await script()(connection)

    async with server(handle) as door, connected(door, {"Authorization": "Bearer x"}, PATIENT):
        pass
    assert seen == ["Bearer x"]


@asynchronous
async def test_a_refused_token_is_denied() -> None:
    """The close code says so, and the reason is told."""

    async def handle(connection: ServerConnection) -> None:
        await connection.close(1008, "the token has expired")

    async with server(handle) as door:
        with pytest.raises(Denied, match="the token has expired"):
            async with connected(door, {}, PATIENT):
                raise AssertionError("there was no welcome")


@asynchronous
async def test_a_server_that_goes_away_is_named() -> None:
    """So is its close code."""

    async def handle(connection: ServerConnection) -> None:
        await connection.send(text_of(WELCOME))
        await connection.recv()
        await connection.close(1001, "stopping")

    async with server(handle) as door, connected(door, {}, PATIENT) as client:
        with pytest.raises(ServiceUnavailable, match=rf":{door.port} closed .*1001 stopping"):
            await client.submit(MESSAGE)


@asynchronous
async def test_a_server_that_says_nothing_is_given_up() -> None:
    """Each wait has its bound: for the welcome, an answer, the next event."""

    async def silent(connection: ServerConnection) -> None:
        await connection.wait_closed()

    async with server(silent) as door:
        # A handshake that comes late is given up for the same bound, and in words of its own.
        with pytest.raises(ServiceUnavailable, match=r"within 0 s|timed out"):
            async with connected(door, {}, SHORT):
                raise AssertionError("there was no welcome")
    brief = ClientLimits(answer_s=0.3, event_s=0.3)
    async with server(script()) as door, connected(door, {}, brief) as client:
        with pytest.raises(ServiceUnavailable, match="did not say"):
            await client.submit(MESSAGE)
        with pytest.raises(ServiceUnavailable, match="did not say"):
            await anext(client.events("r1"))


@asynchronous
async def test_where_nobody_speaks_websocket_there_is_no_connection() -> None:
    """Neither where nobody listens, nor where a listener never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        with pytest.raises(ServiceUnavailable, match="gives no connection"):
            async with connected(Door(host, port), {}, SHORT):
                raise AssertionError("nobody answered")
    with pytest.raises(ServiceUnavailable, match="gives no connection"):
        async with connected(Door(host, port), {}, SHORT):
            raise AssertionError("nobody listens")


class Listening:
    """What serves a platform: these doors."""

    def __init__(self, *doors: Door) -> None:
        self._doors = doors

    async def doors(self) -> Sequence[Door]:
        """All of them."""
        return self._doors

    async def close(self) -> None:
        """The test closes them."""


@asynchronous
async def test_connections_go_to_one_process_after_the_other() -> None:
    """Each with a token of its user's."""
    tokens = Tokens(Secret("a key for tokens that is long enough to sign with"))
    seen: list[tuple[int, str]] = []

    async def handle(connection: ServerConnection) -> None:
        assert connection.request is not None
        token = connection.request.headers["Authorization"].removeprefix("Bearer ")
        seen.append((connection.local_address[1], tokens.verify(token)))
        await script()(connection)

    async with server(handle) as first, server(handle) as second:
        limits = SocketLimits(frame_bytes=1, queue_frames=1, login_s=1.0)
        clients = Clients(WireSockets(Listening(first, second), tokens, limits))
        for user in ("u1", "u2", "u3"):
            async with clients.of(user):
                pass
    assert seen == [(first.port, "u1"), (second.port, "u2"), (first.port, "u3")]


@asynchronous
async def test_a_binary_frame_is_no_word_of_the_platforms() -> None:
    """The platform speaks in texts."""

    async def handle(connection: ServerConnection) -> None:
        await connection.send(b"\x00")
        await connection.wait_closed()

    async with server(handle) as door:
        with pytest.raises(RecordError, match="binary"):
            async with connected(door, {}, PATIENT):
                raise AssertionError("that was no welcome")
