"""A small platform of somebody else's: a bot that answers over WebSockets, in a dialect of its own.

It shares no code with the reference platform, keeps everything in memory, and says what it lacks.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import ClassVar, Final, Self

from websockets.asyncio.server import ServerConnection, serve

from labkit.errors import RecordError
from labkit.events import Event, EventType
from labkit.json_values import JsonValue
from labkit.redaction import Secret
from labkit.services.endpoints import Lease
from labkit.targets.notifications import Door, Notice, NoticeKind, SocketLimits
from labkit.targets.protocols import Capability, Tables

WORDS: Final = {
    "hello": EventType.AGENT_STARTED,
    "hm": EventType.AGENT_THINKING,
    "try": EventType.TOOL_EXECUTING,
    "got": EventType.TOOL_COMPLETED,
    "bye": EventType.AGENT_COMPLETED,
}
"""The dialect's words for what happens."""


class Bot:
    """The server: who is in the room, and what was said to whom."""

    limits = SocketLimits(frame_bytes=65_536, queue_frames=100, login_s=5.0)

    def __init__(self, key: str) -> None:
        self._key = key.encode()
        self._present: dict[ServerConnection, str] = {}
        self._told: dict[str, tuple[str, list[str]]] = {}
        self._doors: list[Door] = []

    async def open(self, stack: AsyncExitStack) -> None:
        """Serve two doors until the stack unwinds."""
        for _ in range(2):
            server = await stack.enter_async_context(
                serve(self._meet, "127.0.0.1", 0, max_size=self.limits.frame_bytes)
            )
            host, port = next(iter(server.sockets)).getsockname()
            self._doors.append(Door(host, port, path="/chat"))

    # How it speaks ------------------------------------------------------------------------------

    async def doors(self) -> Sequence[Door]:
        """Where it listens."""
        return tuple(self._doors)

    def token(self, user: str) -> Secret:
        """The name and its seal."""
        return Secret(f"{user}:{self._seal(user)}")

    def headers(self, token: Secret) -> Mapping[str, str]:
        """A header of its own."""
        return {"X-Seal": token.reveal()}

    def first_frame(self, token: Secret) -> str:
        """The seal as a frame."""
        return json.dumps(["seal", token.reveal()])

    def message(self, thread: str, text: str, *, message: str) -> str:
        """Say something."""
        return json.dumps(["say", message, thread, text])

    def resume(self, run: str, after: int | None, *, connection: str | None = None) -> str:
        """Ask again."""
        return json.dumps(["again", run, -1 if after is None else after, connection])

    def read(self, frame: str) -> Event | Notice:
        """What it says."""
        match json.loads(frame):
            case ["note", kind, message, run, reason]:
                return Notice(NoticeKind(kind), message=message, run=run, reason=reason)
            case [word, user, thread, run, seq, ts, call] if word in WORDS:
                return Event(WORDS[word], user, ts, seq=seq, thread=thread, run=run, call=call)
        raise RecordError(f"the bot does not say {frame!r:.80}")

    # What it does -------------------------------------------------------------------------------

    def audience(self, user: str) -> list[ServerConnection]:
        """Who hears what is told to a user."""
        return [connection for connection, name in self._present.items() if name == user]

    def _seal(self, user: str) -> str:
        return hmac.new(self._key, user.encode(), hashlib.sha256).hexdigest()

    def _name_on(self, token: str) -> str | None:
        user, _, seal = token.partition(":")
        return user if hmac.compare_digest(seal.encode(), self._seal(user).encode()) else None

    async def _meet(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        token = connection.request.headers.get("X-Seal")
        if token is None:
            _, token = json.loads(await connection.recv())
        user = self._name_on(token)
        if user is None:
            await connection.close(1008, "the seal is broken")
            return
        self._present[connection] = user
        await connection.send(_note(NoticeKind.WELCOME))
        try:
            async for frame in connection:
                await self._listen(connection, user, json.loads(frame))
        finally:
            del self._present[connection]

    async def _listen(self, connection: ServerConnection, user: str, said: JsonValue) -> None:
        match said:
            case ["say", str() as message, thread, _text]:
                run = f"run-{len(self._told)}"
                self._told[run] = (user, [])
                await connection.send(_note(NoticeKind.ACCEPTED, message, run))
                for seq, word in enumerate(["hello", "hm", "try", "got", "hm", "bye"]):
                    call = f"{run}-call" if word in {"try", "got"} else None
                    ts = int(1000 * time.time())
                    line = json.dumps([word, user, thread, run, seq, ts, call])
                    self._told[run][1].append(line)
                    for listener in self.audience(user):
                        await listener.send(line)
            case ["again", str() as run, int() as after, _]:
                owner, lines = self._told.get(run, (None, []))
                if owner != user:
                    await connection.send(_note(NoticeKind.REFUSED, None, run, "no such run"))
                    return
                for line in lines[after + 1 :]:
                    await connection.send(line)
                await connection.send(_note(NoticeKind.RESUMED, None, run))


def _note(
    kind: NoticeKind, message: str | None = None, run: str | None = None, reason: str = ""
) -> str:
    return json.dumps(["note", kind, message, run, reason])


class Chat:
    """The platform on one lease, of which it needs nothing."""

    name: ClassVar[str] = "chat"
    lacks: ClassVar[Mapping[Capability, str]] = {
        **{part: "it only chats" for part in Capability if part.part != "sockets"},
        Capability.SOCKETS_QUALITY: "it has no opinion of itself",
    }
    tables: ClassVar[Tables] = Tables("", "", "", "", "")
    bot: ClassVar[type[Bot]] = Bot

    def __init__(self, lease: Lease) -> None:
        self.sockets = self.bot(lease.id)
        self._exit = AsyncExitStack()

    @staticmethod
    async def install(_lease: Lease) -> None:
        """There is nothing to make."""

    async def __aenter__(self) -> Self:
        await self.sockets.open(self._exit)
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._exit.aclose()


class Loud(Bot):
    """Tells everybody what it tells anybody."""

    def audience(self, user: str) -> list[ServerConnection]:
        """The user first, and then all others."""
        return sorted(self._present, key=lambda connection: self._present[connection] != user)


class Shouting(Chat):
    """The platform with that bot."""

    bot = Loud
