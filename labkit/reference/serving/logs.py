"""Logs of a server process: one JSON object a line, without secrets and without what users wrote.

Of an error they tell its kind and where it came from, never its message, which may quote a user.
"""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, TextIO

from labkit.redaction import Redactor


def fields(**facts: str | int) -> Mapping[str, Any]:
    """What to pass as `extra` to a logger, so that ids and sizes stand in fields of their own."""
    return MappingProxyType({"fields": facts})


class JsonLines(logging.Formatter):
    """Writes records as lines of JSON, with the redactor's secrets masked."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        """One line: when, how grave, where from, what, the fields, and the kind of an error."""
        value: dict[str, object] = {
            "ts": int(record.created * 1000),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **record.__dict__.get("fields", {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            value["error"] = _chain_of(record.exc_info[1])
        return json.dumps(self._redactor.value(value), ensure_ascii=False)


def write_logs(stream: TextIO, redactor: Redactor) -> None:
    """Have all loggers of this process write to the stream, from information upwards."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines(redactor))
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)


def _chain_of(error: BaseException) -> list[dict[str, object]]:
    """The error and what it came from, outermost first: kinds and places."""
    chain: list[dict[str, object]] = []
    cause: BaseException | None = error
    while cause is not None and len(chain) < 10:
        chain.append({"kind": type(cause).__qualname__, "at": _places(cause.__traceback__)})
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return chain


def _places(trace: TracebackType | None) -> list[str]:
    frames = traceback.extract_tb(trace)
    return [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
