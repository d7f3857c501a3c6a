"""What the tests of the server share: server processes' insides in this process, and a client."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from labkit.events import Event
from labkit.redaction import Secret
from labkit.reference.config import ServiceConfig
from labkit.reference.data.store import Store
from labkit.reference.parts import Parts
from labkit.reference.service import serving
from labkit.reference.serving.connection import ConnectionLimits
from labkit.reference.wire.frames import ClientFrame, Submit, read, text_of
from labkit.reference.wire.tokens import Tokens
from labkit.services.endpoints import Lease
from labkit.targets.notifications import Door, Notice, NoticeKind
from tests.reference.stage import new_user, opened

KEY = Secret("a key for the tokens of these tests")
QUICK = ConnectionLimits(login_s=3.0, close_s=0.5)
"""Three seconds for a login, which good clients need too, and half a second for a goodbye."""


@dataclass(frozen=True)
class Site:
    """Servers of one platform, and what is needed to be its client."""

    lease: Lease
    data: Store
    doors: Sequence[Door]

    async def user(self) -> tuple[str, str]:
        """A new user, and a thread of his."""
        user = await new_user(self.data)
        return user, await self.data.create_thread(user, "a thread")

    def token(self, user: str, lifetime_s: float = 600.0) -> str:
        """A token of the user's."""
        return Tokens(KEY).issue(user, lifetime_s).reveal()

    def headers(self, user: str) -> Mapping[str, str]:
        """The header with a token of the user's."""
        return {"Authorization": f"Bearer {self.token(user)}"}

    @asynccontextmanager
    async def socket(
        self, headers: Mapping[str, str] | None = None, door: int = 0
    ) -> AsyncIterator[ClientConnection]:
        """A bare connection."""
        where = self.doors[door]
        socket = await connect(
            f"ws://{where.host}:{where.port}/",
            additional_headers=headers,
            proxy=None,
            compression=None,
            max_size=None,
            close_timeout=1,
        )
        try:
            yield socket
        finally:
            if socket.state is not State.CLOSED:
                await socket.close()

    async def health(self, door: int = 0) -> tuple[str, dict[str, object]]:
        """The first line and the body of the health answer."""
        answer = await end_of(self.doors[door], b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        head, _, body = answer.decode().partition("\r\n\r\n")
        assert "Content-Type: application/json" in head.splitlines()
        return head.splitlines()[0], json.loads(body)

    @asynccontextmanager
    async def client(self, user: str, door: int = 0) -> AsyncIterator[Client]:
        """A client who has been welcomed."""
        async with self.socket(self.headers(user), door) as socket:
            client = Client(socket)
            welcome = await client.notice(NoticeKind.WELCOME)
            client.id = welcome.connection or ""
            yield client


@dataclass
class Client:
    """A client, with all that it was told."""

    socket: ClientConnection
    id: str = ""
    told: list[Event | Notice] = field(default_factory=list)

    async def send(self, frame: ClientFrame) -> None:
        """Send a frame."""
        await self.socket.send(text_of(frame))

    async def next(self) -> Event | Notice:
        """What it is told next."""
        frame = await self.socket.recv()
        assert isinstance(frame, str)
        self.told.append(read(frame))
        return self.told[-1]

    async def notice(self, kind: NoticeKind | None = None) -> Notice:
        """The next notice, which must be of the kind."""
        while not isinstance(said := await self.next(), Notice):
            pass
        assert kind in {None, said.kind}, said
        return said

    async def submit(self, thread: str, text: str, message: str | None = None) -> str:
        """Send a message that is accepted; its run."""
        await self.send(Submit(message or uuid.uuid4().hex, thread, text))
        return str((await self.notice(NoticeKind.ACCEPTED)).run)

    async def events(self, run: str, count: int | None = None) -> list[Event]:
        """The events of a run that it is told, up to its end or to so many."""
        while True:
            found = [one for one in self.told if isinstance(one, Event) and one.run == run]
            if len(found) == count or (count is None and found and found[-1].type.is_end):
                return found
            await self.next()


@asynccontextmanager
async def site(
    lease: Lease,
    *,
    servers: int = 1,
    limits: ConnectionLimits | None = None,
    parts: Parts | None = None,
) -> AsyncIterator[Site]:
    """So many servers on the lease."""
    async with AsyncExitStack() as stack:
        doors = [
            await stack.enter_async_context(
                serving(
                    ServiceConfig(
                        "tests",
                        lease,
                        KEY,
                        limits=limits or ConnectionLimits(),
                    ),
                    parts or Parts(),
                )
            )
            for _ in range(servers)
        ]
        yield Site(lease, await stack.enter_async_context(opened(lease)), doors)


async def close_of(socket: ClientConnection) -> tuple[int, str]:
    """Wait for the close frame: its code and reason; what comes before it is passed over."""
    try:
        while True:
            await socket.recv()
    except ConnectionClosed as closed:
        if closed.rcvd is None:
            return 1006, "cut"
        return closed.rcvd.code, closed.rcvd.reason


def seqs(events: Sequence[Event]) -> list[int | None]:
    """Their `seq`."""
    return [event.seq for event in events]


async def end_of(door: Door, sent: bytes) -> bytes:
    """Send bytes to the port and wait until the server ends the connection; what it answered."""
    reader, writer = await asyncio.open_connection(door.host, door.port)
    try:
        writer.write(sent)
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()
