"""What is said between a warm process and who asks it for a fork: lines of JSON on a Unix socket.

First the request, with the descriptors that are to be the new process's standard input, output and
error; then the answer: its pid, and in the end how it ended. A refusal is one answer, and the last.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from labkit.errors import RecordError

STANDARD: Final = (0, 1, 2)
"""The descriptors that come with a request, in this order."""
LONGEST_BYTES: Final = 4_000_000
"""No request is longer: the longest environment that Linux takes is of 2 MB."""

_PORTION_BYTES: Final = 65_536


@dataclass(frozen=True)
class Request:
    """What a new process is to be."""

    module: str
    """It is run as `python -m` would run it."""
    argv: tuple[str, ...]
    """Its arguments, without the program's own name."""
    environment: Mapping[str, str]
    """The whole of it."""
    folder: str
    """Where it works."""
    search_path: tuple[str, ...] = ()
    """Its `sys.path`; where there is none, that of the warm process."""


def send_request(connection: socket.socket, request: Request, standard: Sequence[int]) -> None:
    """Send a request with copies of three descriptors; these stay the sender's."""
    line = json.dumps(asdict(request)).encode() + b"\n"
    sent = socket.send_fds(connection, [line[:_PORTION_BYTES]], standard)
    if rest := line[sent:]:  # to send nothing fails, too, where it was refused already
        connection.sendall(rest)


def receive_request(connection: socket.socket, deadline: float) -> tuple[Request, Sequence[int]]:
    """The request and its descriptors, which are the caller's to close.

    `deadline` is on the monotonic clock. Raises `RecordError` for anything else, and `OSError` when
    it has not come by then.
    """
    descriptors: list[int] = []
    try:
        line = b""
        while not line.endswith(b"\n"):
            _wait_until(deadline, connection)
            line += (portion := _portion(connection, descriptors))
            if not portion or len(line) > LONGEST_BYTES:
                break
        return _request(line, descriptors), descriptors
    except BaseException:
        for descriptor in descriptors:
            os.close(descriptor)
        raise


def _wait_until(deadline: float, connection: socket.socket) -> None:
    """Let the connection wait as long; also one that always sends a little comes to its end."""
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("timed out")
    connection.settimeout(left_s)


def _portion(connection: socket.socket, descriptors: list[int]) -> bytes:
    count = len(STANDARD)
    portion, received, flags, _ = socket.recv_fds(connection, _PORTION_BYTES, count)
    descriptors += received
    if flags & socket.MSG_CTRUNC or len(descriptors) > count:
        raise RecordError(f"a request came with more than {count} descriptors")
    return portion


def _request(line: bytes, descriptors: Sequence[int]) -> Request:
    if len(descriptors) != len(STANDARD):
        raise RecordError(f"a request came with {len(descriptors)} descriptors, not with 3")
    if len(line) > LONGEST_BYTES:
        raise RecordError(f"a request is longer than {LONGEST_BYTES} bytes")
    try:
        value = json.loads(line)
        lists = {name: tuple(value[name]) for name in ("argv", "search_path")}
        return Request(**{**value, **lists})
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise RecordError(f"a request cannot be read: {type(error).__name__}: {error}") from error


def answer(connection: socket.socket, **facts: int | str) -> None:
    """Say one line; raises `OSError` when nobody listens any longer."""
    connection.sendall(json.dumps(facts).encode() + b"\n")
