"""How the platform speaks over WebSockets, told to whoever wants to speak for himself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from labkit.events import Event
from labkit.json_values import JsonValue
from labkit.redaction import Secret
from labkit.reference.wire.frames import Authenticate, Quality, Resume, Submit, read, text_of
from labkit.reference.wire.tokens import Tokens
from labkit.targets.notifications import Door, Notice, SocketLimits

_TOKEN_S: Final = 3600.0


class Doors(Protocol):
    """What serves the platform: its processes, or the kernel itself."""

    async def doors(self) -> Sequence[Door]:
        """Where it listens; starts it where it does not run yet."""
        ...

    async def close(self) -> None:
        """Stop it."""
        ...


class WireSockets:
    """The `Sockets` of the seam."""

    def __init__(self, service: Doors, tokens: Tokens, limits: SocketLimits) -> None:
        self._service = service
        self._tokens = tokens
        self._limits = limits

    async def doors(self) -> Sequence[Door]:
        """One for each server process; starts them where they are not running yet."""
        return await self._service.doors()

    def token(self, user: str) -> Secret:
        """A token that the platform takes for this user's, for an hour."""
        return self._tokens.issue(user, _TOKEN_S)

    def headers(self, token: Secret) -> Mapping[str, str]:
        """The headers that carry a token."""
        return {"Authorization": f"Bearer {token.reveal()}"}

    def first_frame(self, token: Secret) -> str:
        """The frame that carries a token, where no header did."""
        return text_of(Authenticate(token))

    def message(self, thread: str, text: str, *, message: str) -> str:
        """The frame that submits a message; sent twice with one id it is executed once."""
        return text_of(Submit(message, thread, text))

    def resume(self, run: str, after: int | None, *, connection: str | None = None) -> str:
        """The frame that asks for the events of a run after a `seq`.

        `connection` is the id of an earlier connection, to learn whether that was dropped.
        """
        return text_of(Resume(run, after, connection))

    def quality(self, payload: Mapping[str, JsonValue], *, message: str) -> str:
        """The frame that reports on quality; area 7 says what a payload holds."""
        return text_of(Quality(message, payload))

    def read(self, frame: str) -> Event | Notice:
        """What a server's frame says; raises `RecordError` when it is none of these."""
        return read(frame)

    @property
    def limits(self) -> SocketLimits:
        """What a server allows one connection."""
        return self._limits
