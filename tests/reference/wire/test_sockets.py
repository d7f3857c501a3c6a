"""What the platform tells those who speak WebSocket for themselves."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

from labkit.redaction import Secret
from labkit.reference.wire.frames import Authenticate, Quality, Resume, Submit, parse, text_of
from labkit.reference.wire.sockets import WireSockets
from labkit.reference.wire.tokens import Tokens
from labkit.targets.notifications import Door, Notice, NoticeKind, SocketLimits
from tests.reference.stage import asynchronous

TOKENS = Tokens(Secret("a key for tokens that is long enough to sign with"))
LIMITS = SocketLimits(frame_bytes=1, queue_frames=2, login_s=3.0)


class Listening:
    """What serves the platform: two doors."""

    async def doors(self) -> Sequence[Door]:
        """Both."""
        return [Door("127.0.0.1", 1), Door("127.0.0.1", 2)]

    async def close(self) -> None:
        """Nothing is open."""


def sockets() -> WireSockets:
    """The sockets of a platform."""
    return WireSockets(Listening(), TOKENS, LIMITS)


@asynchronous
async def test_the_doors_are_those_of_the_service() -> None:
    """One for each process, with what each allows."""
    assert [door.port for door in await sockets().doors()] == [1, 2]
    assert sockets().limits == LIMITS


def test_a_token_is_one_that_the_servers_take() -> None:
    """They know by it who the user is; it is carried in a header or in a frame."""
    token = sockets().token("u1")
    assert TOKENS.verify(token.reveal()) == "u1"
    assert sockets().headers(token) == {"Authorization": f"Bearer {token.reveal()}"}
    assert parse(sockets().first_frame(token)) == Authenticate(token)


def test_frames_are_those_that_the_servers_read() -> None:
    """Each is taken for what it was meant to be."""
    payload = MappingProxyType({"type": "alert"})
    assert parse(sockets().message("t1", "hello", message="m1")) == Submit("m1", "t1", "hello")
    assert parse(sockets().resume("r1", 3, connection="c1")) == Resume("r1", 3, "c1")
    assert parse(sockets().resume("r1", None)) == Resume("r1")
    assert parse(sockets().quality(payload, message="m2")) == Quality("m2", payload)


def test_a_servers_frame_is_read() -> None:
    """A notice comes back as it was said."""
    notice = Notice(NoticeKind.WELCOME, connection="c1")
    assert sockets().read(text_of(notice)) == notice
