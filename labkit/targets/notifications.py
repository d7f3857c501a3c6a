"""Area 2 of the seam: events are delivered apart from the call that started a run.

`Notifications` is what every such platform has. `Sockets` is for one whose events travel over
WebSockets: it tells how, and the lab speaks for itself, so that the frames are its own witness.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from labkit.events import Event
from labkit.json_values import JsonValue
from labkit.redaction import Secret


class Notifications(Protocol):
    """Runs that go on by themselves, and whose events can be asked for again."""

    async def submit(self, user: str, thread: str, text: str) -> str:
        """Start a run and return its id at once; `Denied` or `Rejected` as for `Pipeline.run`."""
        ...

    def attach(self, user: str, run: str, after: int | None = None) -> AsyncIterator[Event]:
        """The events of a run after the `seq` already seen (None: from its first), the end last.

        Raises `Denied` when the run is not the user's, `Rejected` when what is asked for can no
        longer be replayed.
        """
        ...


@dataclass(frozen=True)
class Door:
    """Where one server process of the platform takes WebSockets."""

    host: str
    port: int
    path: str = "/"


@dataclass(frozen=True)
class SocketLimits:
    """What a server allows one connection."""

    frame_bytes: int
    """The largest frame that it takes."""
    queue_frames: int
    """How many frames may wait for a slow reader before it is dropped."""
    login_s: float
    """How long a connection may stay without a token, in seconds."""


class NoticeKind(enum.StrEnum):
    """What a server says of the connection itself, apart from events."""

    WELCOME = "welcome"
    """The token was accepted; `connection` is the connection's id."""
    ACCEPTED = "accepted"
    """The message `message` was taken and is answered by `run`."""
    REFUSED = "refused"
    """`reason` says why the message `message`, or what was asked of `run`, is not done."""
    RESUMED = "resumed"
    """The replay of `run` is over; what follows is live."""
    GONE = "gone"
    """`run` cannot be replayed from where it was asked for: too much time or too many events."""
    ROUTED = "routed"
    """The quality message `message` went to the handler that `reason` names."""


@dataclass(frozen=True)
class Notice:
    """One such word of a server."""

    kind: NoticeKind
    connection: str | None = None
    message: str | None = None
    run: str | None = None
    reason: str = ""
    was_dropped: bool = False
    """On `resumed`: the earlier connection that the client named was dropped as a slow reader."""
    data: Mapping[str, JsonValue] = field(default_factory=lambda: MappingProxyType({}))


class Sockets(Protocol):
    """How a platform speaks over WebSockets; each frame is a text.

    A server that refuses closes with 1008 and the reason; a frame that is not JSON with 1007, a
    binary one with 1003, a too large one with 1009, overload with 1013, going away with 1001.
    """

    async def doors(self) -> Sequence[Door]:
        """One for each server process; starts them where they are not running yet."""
        ...

    def token(self, user: str) -> Secret:
        """A token that the platform takes for this user's."""
        ...

    def headers(self, token: Secret) -> Mapping[str, str]:
        """The headers that carry a token."""
        ...

    def first_frame(self, token: Secret) -> str:
        """The frame that carries a token, where no header did."""
        ...

    def message(self, thread: str, text: str, *, message: str) -> str:
        """The frame that submits a message; sent twice with one id it is executed once."""
        ...

    def resume(self, run: str, after: int | None, *, connection: str | None = None) -> str:
        """The frame that asks for the events of a run after a `seq`.

        `connection` is the id of an earlier connection, to learn whether that was dropped.
        """
        ...

    def quality(self, payload: Mapping[str, JsonValue], *, message: str) -> str:
        """The frame that reports on quality; area 7 says what a payload holds."""
        ...

    def read(self, frame: str) -> Event | Notice:
        """What a server's frame says; raises `RecordError` when it is none of these."""
        ...

    @property
    def limits(self) -> SocketLimits:
        """What a server allows one connection."""
        ...
