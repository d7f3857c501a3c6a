"""Redaction of a kernel's messages: inside the kernel, and once more where they are received.

Inside, one gate stands in front of everything that the kernel sends, so that a notebook is covered
under plain papermill and in JupyterLab too. Streams come in pieces; what may be the beginning of a
secret is held back until more comes or the cell ends.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from labkit.errors import RecordError
from labkit.records import MEDIA_TYPE, CheckRecord, record_from_json
from labkit.redaction import Redactor, StreamRedactor

_CAPTURED_IN_RECORD: Final = ("detail", "notes")
_CAPTURED_IN_ROW: Final = ("label", "expected", "actual")
_NOT_CAPTURED: Final = frozenset({"status", "execute_input"})


def redact_bundle(bundle: Mapping[str, Any], redactor: Redactor) -> dict[str, Any]:
    """A display's data by media type, with the secrets taken out.

    Of a valid record only the captured texts are touched, never the lab's own words: a password
    "failed" must not turn an outcome into a mask.
    """
    return {
        media: _redact_record(value, redactor) if media == MEDIA_TYPE else redactor.value(value)
        for media, value in bundle.items()
    }


def redact_content(kind: str, content: Mapping[str, Any], redactor: Redactor) -> dict[str, Any]:
    """The content of a message of this kind, with the secrets taken out."""
    if kind in _NOT_CAPTURED:
        return dict(content)
    rest = {name: value for name, value in content.items() if name != "data"}
    cleaned: dict[str, Any] = redactor.value(rest)
    if isinstance(content.get("data"), Mapping):
        cleaned["data"] = redact_bundle(content["data"], redactor)
    return cleaned


def _redact_record(value: Any, redactor: Redactor) -> Any:
    try:
        record = record_from_json(value)
    except RecordError:
        return redactor.value(value)
    if not isinstance(record, CheckRecord):
        return value
    cleaned = {name: redactor.value(value[name]) for name in _CAPTURED_IN_RECORD}
    rows = [
        {**row, **{name: redactor.text(row[name]) for name in _CAPTURED_IN_ROW}}
        for row in value["expectations"]
    ]
    return {**value, **cleaned, "expectations": rows}


class Session(Protocol):
    """The part of a kernel's messaging session that the gate stands in front of."""

    send: Callable[..., Any]


class OutputGate:
    """Takes a session's place as its `send`, and takes the secrets out of what passes."""

    def __init__(self, session: Session, redactor: Redactor) -> None:
        self._send = session.send
        self._lock = threading.RLock()  # streams are sent from another thread than displays
        self._streams: dict[str, tuple[StreamRedactor, Callable[[str], None]]] = {}
        self._redactor = redactor

    def use(self, redactor: Redactor) -> None:
        """Take out these secrets from now on."""
        with self._lock:
            self._flush()
            self._redactor = redactor

    def __call__(
        self, stream: Any, message: Any, content: Any = None, *arguments: Any, **options: Any
    ) -> Any:
        """Send a message as the session would, given by its kind or whole."""
        with self._lock:
            if isinstance(message, str):
                self._before(message, content)
                cleaned = redact_content(message, content, self._redactor) if content else content
                return self._send(stream, message, cleaned, *arguments, **options)
            kind = message["header"]["msg_type"]
            if kind == "stream":
                return self._send_stream(stream, message, options)
            cleaned = redact_content(kind, message["content"], self._redactor)
            return self._send(stream, {**message, "content": cleaned}, **options)

    def _before(self, kind: str, content: Any) -> None:
        if kind == "execute_reply" or (
            kind == "status" and content.get("execution_state") == "idle"
        ):
            self._flush()

    def _send_stream(self, stream: Any, message: dict[str, Any], options: dict[str, Any]) -> Any:
        def send(text: str) -> Any:
            # A name of its own: two alike pieces would be refused as one message sent twice.
            named = {"msg_id": uuid.uuid4().hex}
            header = {**message["header"], **named}
            piece = {**message["content"], "text": text}
            return self._send(
                stream, {**message, **named, "header": header, "content": piece}, **options
            )

        name = message["content"]["name"]
        held = self._streams.get(name)
        redactor = held[0] if held else StreamRedactor(self._redactor)
        self._streams[name] = (redactor, send)
        safe = redactor.feed(message["content"]["text"])
        return send(safe) if safe else None

    def _flush(self) -> None:
        while self._streams:
            _, (redactor, send) = self._streams.popitem()
            rest = redactor.flush()
            if rest:
                send(rest)


def guard_output(session: Session, redactor: Redactor) -> None:
    """Put a gate in front of the session, or give the gate that is there other secrets."""
    if isinstance(session.send, OutputGate):
        session.send.use(redactor)
    else:
        session.send = OutputGate(session, redactor)
