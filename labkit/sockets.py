"""The lab's own WebSocket client: what a platform really sends, as a witness of the lab's own.

It knows nothing of the platform but how a token travels and how a frame is read, which the target's
`Sockets` tells. Every frame is kept as it came, with the time of its arrival. A wait that expires
gives what there is; that it is too little is for the check to say.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import struct
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from socket import SO_LINGER, SO_RCVBUF, SOL_SOCKET
from typing import Final, Protocol, TypeVar

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.protocol import State

from labkit.errors import RecordError
from labkit.events import Event
from labkit.redaction import Secret
from labkit.targets.notifications import Door, Notice, NoticeKind

WAIT_S: Final = 20.0
"""How long a socket waits where nothing else is said, in seconds."""

_CLOSE_S: Final = 2.0
_PAUSED_BUFFER_BYTES: Final = 4096
_RESET: Final = struct.pack("ii", 1, 0)

_T = TypeVar("_T")


class Dialect(Protocol):
    """What of a platform's `Sockets` a witness needs."""

    def headers(self, token: Secret) -> Mapping[str, str]:
        """The headers that carry a token."""
        ...

    def first_frame(self, token: Secret) -> str:
        """The frame that carries a token, where no header did."""
        ...

    def read(self, frame: str) -> Event | Notice:
        """What a server's frame says; raises `RecordError` when it is neither."""
        ...


class Login(enum.Enum):
    """How a token travels."""

    HEADER = enum.auto()
    FIRST_FRAME = enum.auto()
    NONE = enum.auto()
    """Not at all."""


@dataclass(frozen=True)
class Frame:
    """One frame of the server's, as it came."""

    data: str | bytes
    at_s: float
    """When it came, by this process's monotonic clock."""
    at_ms: float
    """When it came, in milliseconds since the epoch."""


@dataclass(frozen=True)
class Heard:
    """A frame, and what it says."""

    says: Event | Notice
    frame: Frame


@dataclass(frozen=True)
class Closed:
    """How a connection ended.

    `code` is the WebSocket's: 1006 where it broke off without one. A server that answers the
    handshake with an error of HTTP has closed with that status, which is below 1000.
    """

    code: int
    reason: str


class Socket:
    """One connection; made by `Lab.connect`, and closed with its block.

    It reads on in the background. An error there that is not the connection's end is raised by
    the next wait, at the latest by the end of the block.
    """

    def __init__(self, connection: ClientConnection | None, dialect: Dialect) -> None:
        self._connection = connection
        self._dialect = dialect
        self._frames: list[Frame] = []
        self._heard: list[Heard] = []
        self._news = asyncio.Event()
        self._buffer_bytes: int | None = None
        self._refused: Closed | None = None
        self._reading = asyncio.create_task(self._read(), name="labkit-socket")

    @classmethod
    def refused(cls, status: int, reason: str, dialect: Dialect) -> Socket:
        """A socket that was closed by an answer of HTTP before it was open."""
        socket = cls(None, dialect)
        socket._refused = Closed(status, reason)
        return socket

    @property
    def received(self) -> Sequence[Frame]:
        """All frames so far, in the order of their arrival."""
        return tuple(self._frames)

    @property
    def heard(self) -> Sequence[Heard]:
        """All frames so far, read; `RecordError` when there is one that cannot be read."""
        for frame in self._frames[len(self._heard) :]:
            if isinstance(frame.data, bytes):
                raise RecordError(f"the server sent a binary frame: {frame.data!r:.80}")
            self._heard.append(Heard(self._dialect.read(frame.data), frame))
        return self._heard

    def heard_of(self, run: str) -> tuple[Heard, ...]:
        """The events of a run so far, repeats included, with the frames that they came in."""
        return tuple(
            one for one in self.heard if isinstance(one.says, Event) and one.says.run == run
        )

    # What it waits for --------------------------------------------------------------------------

    async def until(self, found: Callable[[], _T], *, deadline_s: float = WAIT_S) -> _T:
        """What `found` gives, asked after every frame, once that is true.

        When the time is over or the connection has ended, what it gives then.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                while not found() and not self._reading.done():
                    await self._news.wait()
        if self._reading.done():
            self._reading.result()
        return found()

    async def events(self, run: str, *, deadline_s: float = WAIT_S) -> tuple[Event, ...]:
        """The events of a run as they came, repeats included, once its end is among them.

        When the time is over or the connection has ended, those that have come.
        """
        await self.until(lambda: any(map(_is_end, self.heard_of(run))), deadline_s=deadline_s)
        return tuple(one.says for one in self.heard_of(run) if isinstance(one.says, Event))

    async def notice(
        self,
        kind: NoticeKind,
        *,
        message: str | None = None,
        run: str | None = None,
        deadline_s: float = WAIT_S,
    ) -> Notice | None:
        """The first notice of a kind, of a message or run where one is named; None in time."""

        def first() -> Notice | None:
            said = (one.says for one in self.heard if isinstance(one.says, Notice))
            of_kind = (one for one in said if one.kind is kind)
            named = (one for one in of_kind if message in {None, one.message})
            return next((one for one in named if run in {None, one.run}), None)

        return await self.until(first, deadline_s=deadline_s)

    async def closed(self, *, deadline_s: float = WAIT_S) -> Closed | None:
        """How the connection ended, or None while it has not."""
        await asyncio.wait({self._reading}, timeout=deadline_s)
        if not self._reading.done():
            return None
        self._reading.result()
        if self._connection is None:
            return self._refused
        code = self._connection.close_code
        return None if code is None else Closed(code, self._connection.close_reason or "")

    async def ping(self, *, deadline_s: float = WAIT_S) -> float | None:
        """The way to the server and back in milliseconds, by a bare ping; None without a pong."""
        with contextlib.suppress(TimeoutError, ConnectionClosed):
            async with asyncio.timeout(deadline_s):
                if self._connection is not None:
                    return 1000 * await (await self._connection.ping())
        return None

    # What it does -------------------------------------------------------------------------------

    async def send(self, data: str | bytes, *, deadline_s: float = WAIT_S) -> bool:
        """Send a text or binary frame; whether an open connection took it in time."""
        with contextlib.suppress(TimeoutError, ConnectionClosed):
            async with asyncio.timeout(deadline_s):
                if self._connection is not None:
                    await self._connection.send(data)
                    return True
        return False

    def pause(self) -> None:
        """Read nothing more, pings and the connection's end included, until `resume`.

        The system still takes what fits into its buffer, which is made small.
        """
        if self._connection is not None and self._buffer_bytes is None:
            self._connection.transport.pause_reading()
            raw = self._connection.transport.get_extra_info("socket")
            self._buffer_bytes = raw.getsockopt(SOL_SOCKET, SO_RCVBUF)
            raw.setsockopt(SOL_SOCKET, SO_RCVBUF, _PAUSED_BUFFER_BYTES)

    def resume(self) -> None:
        """Read on."""
        if self._connection is not None and self._buffer_bytes is not None:
            raw = self._connection.transport.get_extra_info("socket")
            # The system doubles what it is told, for its own bookkeeping.
            raw.setsockopt(SOL_SOCKET, SO_RCVBUF, self._buffer_bytes // 2)
            self._buffer_bytes = None
            self._connection.transport.resume_reading()

    def reset(self) -> None:
        """Break the connection off, as a network does: without a word, by a reset."""
        if self._connection is not None and not self._connection.transport.is_closing():
            raw = self._connection.transport.get_extra_info("socket")
            raw.setsockopt(SOL_SOCKET, SO_LINGER, _RESET)
            self._connection.transport.abort()

    async def close(self) -> None:
        """Close the connection; one whose server does not answer is cut off after 2 s."""
        if self._connection is not None:
            try:
                async with asyncio.timeout(_CLOSE_S):
                    await self._say_goodbye(self._connection)
            except TimeoutError:
                pass  # cut off below
            finally:
                # asyncio fails to abort what was closed while it had something to write.
                if self._connection.state is not State.CLOSED:
                    self._connection.transport.abort()
        await self._reading

    async def _say_goodbye(self, connection: ClientConnection) -> None:
        if self._buffer_bytes is not None:
            return  # it would not read the answer
        if connection.state is State.OPEN:
            await connection.close()
        await connection.wait_closed()

    async def _read(self) -> None:
        try:
            while self._connection is not None:
                data = await self._connection.recv()
                self._frames.append(Frame(data, time.monotonic(), 1000 * time.time()))
                self._tell()
        except ConnectionClosed:
            pass  # `closed` tells it
        finally:
            self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def _is_end(heard: Heard) -> bool:
    return isinstance(heard.says, Event) and heard.says.type.is_end


@contextlib.asynccontextmanager
async def connected(
    dialect: Dialect, door: Door, token: Secret, login: Login = Login.HEADER
) -> AsyncIterator[Socket]:
    """A connection to a door for the length of the block, with the token on its way.

    Raises `OSError` (`ConnectionError`, `TimeoutError`) when nobody there speaks WebSocket.
    """
    socket = await _open(dialect, door, dialect.headers(token) if login is Login.HEADER else {})
    try:
        if login is Login.FIRST_FRAME:
            await socket.send(dialect.first_frame(token))
        yield socket
    finally:
        await socket.close()


async def _open(dialect: Dialect, door: Door, headers: Mapping[str, str]) -> Socket:
    host = f"[{door.host}]" if ":" in door.host else door.host
    uri = f"ws://{host}:{door.port}{door.path}"
    try:
        connection = await connect(
            uri,
            additional_headers=dict(headers),
            compression=None,
            proxy=None,
            open_timeout=WAIT_S,
            ping_interval=None,
            close_timeout=_CLOSE_S,
            max_size=None,
            max_queue=None,
        )
    except InvalidStatus as error:
        answer = error.response
        return Socket.refused(answer.status_code, answer.reason_phrase, dialect)
    except InvalidHandshake as error:
        raise ConnectionError(f"{uri} does not speak WebSocket: {error}") from error
    return Socket(connection, dialect)
