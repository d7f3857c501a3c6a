"""The target's own way over the wire: one WebSocket of one user to one server process."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.protocol import State

from labkit.errors import Denied, RecordError, Rejected, ServiceUnavailable
from labkit.events import Event
from labkit.reference.wire.frames import ClientFrame, Continue, Resume, Submit, read, text_of
from labkit.reference.wire.sockets import WireSockets
from labkit.targets.notifications import Door, Notice, NoticeKind

_POLICY_VIOLATION = 1008


@dataclass(frozen=True)
class ClientLimits:
    """How long the client waits, in seconds."""

    open_s: float = 20.0
    """For a connection, and as long again for its welcome."""
    answer_s: float = 20.0
    """For the answer to what it asked."""
    event_s: float = 30.0
    """For the next event of a run."""
    close_s: float = 2.0
    """For the server's goodbye."""


class Client:
    """A connection that the server has welcomed; made by `connected`."""

    def __init__(self, connection: ClientConnection, door: Door, limits: ClientLimits) -> None:
        self._connection = connection
        self._door = door
        self._limits = limits
        self._early: list[Event] = []
        """Events that came while an answer was waited for."""

    async def welcome(self) -> None:
        """Wait for the server's welcome, after which no event of the user is missed."""
        await self._answer(lambda notice: notice.kind is NoticeKind.WELCOME, self._limits.open_s)

    async def submit(self, message: Submit) -> str:
        """Send a message; the run that answers it.

        Raises `Denied` or `Rejected` when the server refuses, `ServiceUnavailable` when it goes
        away or does not answer in time.
        """
        await self._send(message)
        accepted = await self._answer(
            lambda notice: notice.message == message.message, self._limits.answer_s
        )
        if accepted.run is None:
            raise RecordError(f"the server accepted message {message.message!r} for no run")
        return accepted.run

    async def follow(self, run: str, after: int | None) -> None:
        """Be told of a run that began earlier, from after this `seq` on; errors as `submit`."""
        await self._send(Resume(run, after))
        await self._answer(lambda notice: notice.run == run, self._limits.answer_s)

    async def go_on(self, run: str) -> None:
        """Have a suspended run go on; errors as `submit`."""
        await self._send(Continue(run))
        await self._answer(lambda notice: notice.run == run, self._limits.answer_s)

    async def events(self, run: str) -> AsyncGenerator[Event]:
        """The events of a run as they come from now on, the end last."""
        while True:
            said = self._early.pop(0) if self._early else await self._next(self._limits.event_s)
            if isinstance(said, Event) and said.run == run:
                yield said
                if said.type.is_end:
                    return

    async def replay(self, run: str, after: int | None) -> AsyncGenerator[Event]:
        """The events of a run after a `seq`, those that are still to come included, the end last.

        A run that begins just now may be told live before the server comes to what is asked, which
        then begins again: what was told already is left out. Raises `Denied` when the run is not
        the user's, `Rejected` when they are gone.
        """
        await self._send(Resume(run, after))
        last = -1 if after is None else after
        while True:
            said = await self._next(self._limits.event_s)
            if isinstance(said, Event) and said.run == run:
                if said.seq is None or said.seq <= last:
                    continue
                last = said.seq
                yield said
                if said.type.is_end:
                    return
            elif isinstance(said, Notice) and said.run == run and _is_over(_granted(said)):
                return

    async def _send(self, frame: ClientFrame) -> None:
        with self._failures("take a frame", self._limits.answer_s):
            async with asyncio.timeout(self._limits.answer_s):
                await self._connection.send(text_of(frame))

    async def _answer(self, is_answer: Callable[[Notice], bool], within_s: float) -> Notice:
        give_up_at = asyncio.get_running_loop().time() + within_s
        while True:
            said = await self._next(give_up_at - asyncio.get_running_loop().time())
            if isinstance(said, Event):
                self._early.append(said)
            elif is_answer(said):
                return _granted(said)

    async def _next(self, within_s: float) -> Event | Notice:
        with self._failures("say what was waited for", within_s):
            async with asyncio.timeout(within_s):
                frame = await self._connection.recv()
        if isinstance(frame, bytes):
            raise RecordError(f"the server sent a binary frame: {frame!r:.80}")
        return read(frame)

    @contextmanager
    def _failures(self, what: str, within_s: float) -> Iterator[None]:
        where = f"the server at {self._door.host}:{self._door.port}"
        try:
            yield
        except TimeoutError as error:
            raise ServiceUnavailable(f"{where} did not {what} within {within_s:.0f} s") from error
        except ConnectionClosed as error:
            code = self._connection.close_code
            reason = self._connection.close_reason or "no reason"
            if code == _POLICY_VIOLATION:
                raise Denied(reason) from error
            raise ServiceUnavailable(f"{where} closed the connection: {code} {reason}") from error


def _is_over(notice: Notice) -> bool:
    """Whether nothing of the run follows what was replayed."""
    return notice.kind is NoticeKind.RESUMED and notice.data.get("is_over") is True


def _granted(notice: Notice) -> Notice:
    """The notice, unless it refuses."""
    if notice.kind is NoticeKind.REFUSED and notice.data.get("error") == "denied":
        raise Denied(notice.reason)
    if notice.kind in {NoticeKind.REFUSED, NoticeKind.GONE}:
        raise Rejected(notice.reason)
    return notice


@asynccontextmanager
async def connected(
    door: Door, headers: Mapping[str, str], limits: ClientLimits
) -> AsyncIterator[Client]:
    """A connection for the length of the block.

    Raises `Denied` when the token is refused, `ServiceUnavailable` when nobody answers in time.
    """
    connection = await _open(door, headers, limits)
    try:
        client = Client(connection, door, limits)
        await client.welcome()
        yield client
    finally:
        await _part(connection, limits)


async def _part(connection: ClientConnection, limits: ClientLimits) -> None:
    """Say goodbye; a connection that does not end in time is cut."""
    try:
        async with asyncio.timeout(limits.close_s):
            if connection.state is State.OPEN:
                await connection.close()
            await connection.wait_closed()
    except TimeoutError:
        pass  # cut off below
    finally:
        # asyncio fails to abort what was closed while it had something to write.
        if connection.state is not State.CLOSED:
            connection.transport.abort()


async def _open(door: Door, headers: Mapping[str, str], limits: ClientLimits) -> ClientConnection:
    uri = f"ws://{door.host}:{door.port}{door.path}"
    try:
        return await connect(
            uri,
            additional_headers=headers,
            compression=None,
            proxy=None,
            open_timeout=limits.open_s,
            close_timeout=limits.close_s,
            max_size=None,
        )
    except (OSError, InvalidHandshake) as error:
        raise ServiceUnavailable(f"{uri} gives no connection: {error}") from error


class Clients:
    """Connections of any user, to one server process after the other."""

    def __init__(self, sockets: WireSockets, limits: ClientLimits | None = None) -> None:
        self._sockets = sockets
        self._limits = limits or ClientLimits()
        self._turns = itertools.count()

    @asynccontextmanager
    async def of(self, user: str) -> AsyncIterator[Client]:
        """A welcomed connection of the user for the length of the block; errors as `connected`."""
        doors = await self._sockets.doors()
        door = doors[next(self._turns) % len(doors)]
        headers = self._sockets.headers(self._sockets.token(user))
        async with connected(door, headers, self._limits) as client:
            yield client
