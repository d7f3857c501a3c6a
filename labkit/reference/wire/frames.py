"""The frames of the wire, each one JSON object in a text frame.

From a client: `authenticate`, `message`, `resume`, `continue`, `cancel` and `quality`, read by
`parse`. From a server: the envelope of an event, or a notice, read by `read`.

What a client sends wrong is answered in one of two ways. A text that is not JSON (NaN and halves of
surrogate pairs included) raises `NotJson`, and the server closes with 1007. JSON that is no frame
raises `BadFrame`: the server answers with a `refused` notice and the connection goes on; before the
token was accepted it closes with 1008 instead, as it does for any other first frame.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NoReturn, TypeAlias

from labkit.errors import RecordError, Rejected
from labkit.events import Event, event_from_json
from labkit.json_values import JsonValue, json_value
from labkit.redaction import Secret
from labkit.targets.notifications import Notice, NoticeKind

LARGEST_SEQ: Final = 2**31 - 1
"""The largest `seq` that the database can count to."""


class NotJson(Rejected):
    """A frame is not JSON."""


class BadFrame(Rejected):
    """A frame is JSON, but none that a client may send.

    `message` is the id that it gave, so that the sender can be told which one it was.
    """

    def __init__(self, reason: str, message: str | None = None) -> None:
        super().__init__(reason)
        self.message = message


@dataclass(frozen=True)
class Authenticate:
    """The first frame of a connection whose headers carried no token."""

    token: Secret

    def to_json(self) -> dict[str, JsonValue]:
        """The object of the frame, the token laid open."""
        return {"type": "authenticate", "token": self.token.reveal()}


@dataclass(frozen=True)
class Submit:
    """A message for an agent; answered by `accepted` or `refused`."""

    message: str
    """The sender's own id; sent twice it is executed once."""
    thread: str
    text: str
    agent: str | None = None

    def to_json(self) -> dict[str, JsonValue]:
        """The object of the frame."""
        named: dict[str, JsonValue] = {} if self.agent is None else {"agent": self.agent}
        return {
            "type": "message",
            "id": self.message,
            "thread": self.thread,
            "text": self.text,
            **named,
        }


@dataclass(frozen=True)
class Resume:
    """Asks for the events of a run after a `seq` (None: all); `resumed`, `gone` or `refused`."""

    run: str
    after: int | None = None
    connection: str | None = None
    """An earlier connection of the user, to learn whether it was dropped as too slow."""

    def to_json(self) -> dict[str, JsonValue]:
        """The object of the frame."""
        earlier: dict[str, JsonValue] = (
            {} if self.connection is None else {"connection": self.connection}
        )
        return {"type": "resume", "run": self.run, "after": self.after, **earlier}


@dataclass(frozen=True)
class Continue:
    """Asks that a suspended run, or one whose process is gone, goes on; answered as `Cancel` is."""

    run: str

    def to_json(self) -> dict[str, JsonValue]:
        """The object of the frame."""
        return {"type": "continue", "run": self.run}


@dataclass(frozen=True)
class Cancel:
    """Asks for the end of a run; answered by `accepted` or `refused` with the run."""

    run: str

    def to_json(self) -> dict[str, JsonValue]:
        """The object of the frame."""
        return {"type": "cancel", "run": self.run}


@dataclass(frozen=True)
class Quality:
    """Reports on quality; answered by `routed` or `refused`."""

    message: str
    payload: Mapping[str, JsonValue]

    def to_json(self) -> dict[str, JsonValue]:
        """The object of the frame."""
        return {"type": "quality", "id": self.message, "payload": dict(self.payload)}


ClientFrame: TypeAlias = Authenticate | Submit | Resume | Continue | Cancel | Quality


def text_of(frame: ClientFrame | Event | Notice) -> str:
    """The text frame that says it."""
    value = _notice_to_json(frame) if isinstance(frame, Notice) else frame.to_json()
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def parse(text: str) -> ClientFrame:
    """What a client's frame says; raises `NotJson` or `BadFrame`, with no word of the payload."""
    value = _decode(text)
    if not isinstance(value, dict):
        raise BadFrame("a frame must be a JSON object")
    fields = _Fields(value)
    match value.get("type"):
        case "authenticate":
            frame: ClientFrame = Authenticate(Secret(fields.text("token")))
        case "message":
            frame = Submit(
                message=fields.text("id"),
                thread=fields.text("thread"),
                text=fields.text("text"),
                agent=fields.optional_text("agent"),
            )
        case "resume":
            frame = Resume(
                run=fields.text("run"),
                after=fields.seq("after"),
                connection=fields.optional_text("connection"),
            )
        case "continue":
            frame = Continue(fields.text("run"))
        case "cancel":
            frame = Cancel(fields.text("run"))
        case "quality":
            frame = Quality(message=fields.text("id"), payload=fields.object("payload"))
        case _:
            fields.refuse("its type is none that a client may send")
    fields.no_others()
    return frame


def read(text: str) -> Event | Notice:
    """What a server's frame says; raises `RecordError` when it is neither event nor notice."""
    try:
        value = _decode(text)
    except NotJson as error:
        raise RecordError(f"a server's frame cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise RecordError(f"a server's frame is no JSON object: {text!r:.200}")
    return _notice(value) if value.get("type") in set(NoticeKind) else event_from_json(value)


def _decode(text: str) -> JsonValue:
    try:
        return json_value(json.loads(text, parse_constant=_no_constant))
    except (ValueError, RecursionError) as error:
        raise NotJson("the frame is not JSON") from error


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


class _Fields:
    """The fields of a client's frame, which are counted off as they are read."""

    def __init__(self, value: dict[str, JsonValue]) -> None:
        self._value = value
        self._unread = set(value) - {"type"}
        message = value.get("id")
        self._message = message if isinstance(message, str) else None

    def refuse(self, what: str) -> NoReturn:
        """Raise `BadFrame`."""
        raise BadFrame(f"the frame is refused: {what}", self._message)

    def text(self, name: str) -> str:
        """A text that must be there."""
        value = self._take(name)
        if not isinstance(value, str):
            self.refuse(f"{name!r} must be a text")
        return value

    def optional_text(self, name: str) -> str | None:
        """A text, or None when it is null or not there."""
        return None if self._take(name) is None else self.text(name)

    def seq(self, name: str) -> int | None:
        """A place in a run, or None when it is null or not there."""
        value = self._take(name)
        if value is None:
            return None
        if type(value) is not int or not 0 <= value <= LARGEST_SEQ:
            self.refuse(f"{name!r} must be a whole number from 0 to {LARGEST_SEQ}, or null")
        return value

    def object(self, name: str) -> Mapping[str, JsonValue]:
        """A JSON object that must be there."""
        value = self._take(name)
        if not isinstance(value, dict):
            self.refuse(f"{name!r} must be an object")
        return MappingProxyType(value)

    def no_others(self) -> None:
        """Refuse what the frame holds beside the fields that were read."""
        if self._unread:
            self.refuse(f"it holds {len(self._unread)} field(s) too many for its type")

    def _take(self, name: str) -> JsonValue:
        self._unread.discard(name)
        return self._value.get(name)


def _notice_to_json(notice: Notice) -> dict[str, JsonValue]:
    return {
        "type": notice.kind.value,
        "connection": notice.connection,
        "message": notice.message,
        "run": notice.run,
        "reason": notice.reason,
        "was_dropped": notice.was_dropped,
        "data": dict(notice.data),
    }


_IDS: Final = ("connection", "message", "run")


def _notice(value: dict[str, JsonValue]) -> Notice:
    wrong = sorted(set(value) ^ {"type", "reason", "was_dropped", "data", *_IDS})
    if wrong:
        raise RecordError(f"a notice lacks or invents {', '.join(wrong)}: {value!r:.200}")
    reason, was_dropped, data = value["reason"], value["was_dropped"], value["data"]
    ids = {name: value[name] for name in _IDS}
    if (
        not isinstance(reason, str)
        or not isinstance(was_dropped, bool)
        or not isinstance(data, dict)
        or any(one is not None and not isinstance(one, str) for one in ids.values())
    ):
        raise RecordError(f"a notice holds a value of the wrong type: {value!r:.200}")
    return Notice(
        kind=NoticeKind(str(value["type"])),
        reason=reason,
        was_dropped=was_dropped,
        data=MappingProxyType(data),
        **{name: one if isinstance(one, str) else None for name, one in ids.items()},
    )
