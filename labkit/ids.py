"""Typed IDs: texts of the form `user_01h455vb4pex5vsknk084sn02q`, each kind a type of its own.

They follow the TypeID specification, version 0.3: a prefix that names the kind, and a UUID of
version 7 (RFC 9562: milliseconds, then randomness) in 26 characters of base 32, so that the ids of
a kind sort by the time of their making. An id is a `str`, so JSON, PostgreSQL and Redis take it as
it is; a type checker tells the kinds apart.

`UserID.new()` makes one, `UserID.parse(text)` reads one strictly, and `ensure_user_id(value)` takes
what comes from outside: it forgives whitespace around the id and nothing else.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from typing import ClassVar, Final, Self, TypeVar
from uuid import UUID

from labkit.errors import IdError

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"

_PREFIX: Final = re.compile("([a-z]([a-z_]{0,61}[a-z])?)?")

# 26 characters hold 130 bits: a first one above 7 would not fit into a UUID.
_SUFFIX: Final = re.compile(f"[0-7][{_ALPHABET}]{{25}}")

_RANDOM_BITS: Final = 74


def encode_typeid(prefix: str, uuid: UUID) -> str:
    """The TypeID of a UUID; without a separator when the prefix is empty.

    Raises `IdError` when the prefix is not one: up to 63 of `a` to `z` and `_`, no `_` at its ends.
    """
    if not _PREFIX.fullmatch(prefix):
        raise IdError(f"{prefix!r:.80} is no prefix of an id: use a to z, with _ only inside")
    suffix = "".join(_ALPHABET[uuid.int >> shift & 31] for shift in range(125, -1, -5))
    return f"{prefix}_{suffix}" if prefix else suffix


def decode_typeid(text: str) -> tuple[str, UUID]:
    """The prefix and the UUID of a TypeID; raises `IdError` when the text is not exactly one."""
    prefix, separator, suffix = text.rpartition("_")
    if bool(prefix) != bool(separator) or not _PREFIX.fullmatch(prefix):
        raise IdError(f"{text!r:.120} is no id: its prefix must be a to z, with _ only inside")
    if not _SUFFIX.fullmatch(suffix):
        raise IdError(f"{text!r:.120} is no id: it must end in 26 characters of base 32")
    number = 0
    for character in suffix:
        number = number << 5 | _ALPHABET.index(character)
    return prefix, UUID(int=number)


def _uuid7(unix_ms: int, random_bits: int) -> UUID:
    """A UUID of version 7: 48 bits of time, and 74 of randomness around version and variant."""
    random_a, random_b = random_bits >> 62, random_bits & (1 << 62) - 1
    return UUID(int=unix_ms << 80 | 0x7 << 76 | random_a << 64 | 0b10 << 62 | random_b)


class TypedID(str):
    """An id of one kind; making it from a text checks the text and raises `IdError`.

    Any UUID is accepted where an id is read; new ones hold version 7.
    """

    __slots__ = ()

    prefix: ClassVar[str]

    def __new__(cls, text: str) -> Self:
        """The id that the text is, to the letter."""
        if not isinstance(text, str):
            raise IdError(f"{text!r:.120} cannot be a {cls.__name__}: it is not text")
        if isinstance(text, TypedID) and not isinstance(text, cls):
            raise IdError(f"{text!r} cannot be a {cls.__name__}: it is a {type(text).__name__}")
        prefix, _ = decode_typeid(text)
        if prefix != cls.prefix:
            raise IdError(f"{text!r:.120} is no {cls.__name__}: those begin with '{cls.prefix}_'")
        return super().__new__(cls, text)

    @classmethod
    def new(
        cls,
        *,
        clock: Callable[[], float] = time.time,
        random_bits: Callable[[int], int] = secrets.randbits,
    ) -> Self:
        """A new id; `clock` gives seconds since the epoch, `random_bits(n)` an integer of n bits.

        The ids of one millisecond are in no order.
        """
        uuid = _uuid7(int(clock() * 1000), random_bits(_RANDOM_BITS))
        return cls(encode_typeid(cls.prefix, uuid))

    @classmethod
    def parse(cls, text: str) -> Self:
        """The id that the text is, to the letter; raises `IdError` otherwise."""
        return cls(text)

    @property
    def uuid(self) -> UUID:
        """The UUID inside."""
        return decode_typeid(self)[1]

    @property
    def created_at_ms(self) -> int:
        """When the id was made, in milliseconds since the epoch, for a UUID of version 7."""
        return self.uuid.int >> 80


class UserID(TypedID):
    """A person or service for whom things are done."""

    __slots__ = ()
    prefix = "user"


class ThreadID(TypedID):
    """A conversation of one user."""

    __slots__ = ()
    prefix = "thread"


class RunID(TypedID):
    """One run: of an agent on a thread, or of the lab on its notebooks."""

    __slots__ = ()
    prefix = "run"


class RequestID(TypedID):
    """One request to the platform."""

    __slots__ = ()
    prefix = "request"


class SessionID(TypedID):
    """A user's session, or a database session of one request."""

    __slots__ = ()
    prefix = "session"


class WebSocketID(TypedID):
    """One WebSocket."""

    __slots__ = ()
    prefix = "websocket"


class ConnectionID(TypedID):
    """A client's connection, whatever carries it."""

    __slots__ = ()
    prefix = "connection"


class AgentID(TypedID):
    """An agent that runs can be given to."""

    __slots__ = ()
    prefix = "agent"


class ExecutionID(TypedID):
    """The stored execution of an agent."""

    __slots__ = ()
    prefix = "execution"


class ContextID(TypedID):
    """The context in which things are done for one user."""

    __slots__ = ()
    prefix = "context"


class MessageID(TypedID):
    """A message in a thread."""

    __slots__ = ()
    prefix = "message"


class LeaseID(TypedID):
    """The lease of one notebook run on database and Redis."""

    __slots__ = ()
    prefix = "lease"


class AccountID(TypedID):
    """A user's account of credits."""

    __slots__ = ()
    prefix = "account"


_ID = TypeVar("_ID", bound=TypedID)


def _ensure(kind: type[_ID], value: object) -> _ID:
    """The id that a value from outside is; forgives whitespace around it and nothing else."""
    if isinstance(value, TypedID):
        return kind(value)
    if not isinstance(value, str):
        raise IdError(f"{value!r:.120} is no {kind.__name__}: it is not text")
    if not value.strip():
        raise IdError(f"a {kind.__name__} is missing: give one such as '{kind.prefix}_01h455vb…'")
    return kind(value.strip())


def ensure_user_id(value: object) -> UserID:
    """The value as a user's id, stripped; raises `IdError` when it is anything else."""
    return _ensure(UserID, value)


def ensure_thread_id(value: object) -> ThreadID:
    """The value as a thread's id, stripped; raises `IdError` when it is anything else."""
    return _ensure(ThreadID, value)


def ensure_run_id(value: object) -> RunID:
    """The value as a run's id, stripped; raises `IdError` when it is anything else."""
    return _ensure(RunID, value)


def ensure_request_id(value: object) -> RequestID:
    """The value as a request's id, stripped; raises `IdError` when it is anything else."""
    return _ensure(RequestID, value)


def ensure_session_id(value: object) -> SessionID:
    """The value as a session's id, stripped; raises `IdError` when it is anything else."""
    return _ensure(SessionID, value)


def ensure_websocket_id(value: object) -> WebSocketID:
    """The value as a websocket's id, stripped; raises `IdError` when it is anything else."""
    return _ensure(WebSocketID, value)


def ensure_connection_id(value: object) -> ConnectionID:
    """The value as a connection's id, stripped; raises `IdError` when it is anything else."""
    return _ensure(ConnectionID, value)


def ensure_agent_id(value: object) -> AgentID:
    """The value as an agent's id, stripped; raises `IdError` when it is anything else."""
    return _ensure(AgentID, value)


def ensure_execution_id(value: object) -> ExecutionID:
    """The value as an execution's id, stripped; raises `IdError` when it is anything else."""
    return _ensure(ExecutionID, value)


def ensure_context_id(value: object) -> ContextID:
    """The value as a context's id, stripped; raises `IdError` when it is anything else."""
    return _ensure(ContextID, value)


def ensure_message_id(value: object) -> MessageID:
    """The value as a message's id, stripped; raises `IdError` when it is anything else."""
    return _ensure(MessageID, value)


def ensure_lease_id(value: object) -> LeaseID:
    """The value as a lease's id, stripped; raises `IdError` when it is anything else."""
    return _ensure(LeaseID, value)


def ensure_account_id(value: object) -> AccountID:
    """The value as an account's id, stripped; raises `IdError` when it is anything else."""
    return _ensure(AccountID, value)
