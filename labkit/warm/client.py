"""Who asks a warm process for forks: one process each, whose end is told by an event."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

from labkit.errors import NotWarm
from labkit.warm.requests import Request, send_request

ANSWER_S: Final = 20.0
"""How long a warm process may take to make a process, in seconds."""


class ForkedProcess:
    """A process that was forked; made by `ask`, and killed by `close` if it still runs.

    It belongs to the loop that it was asked for in.
    """

    def __init__(self, connection: socket.socket, pid: int) -> None:
        self.pid = pid
        """Also the number of its process group."""
        self.returncode: int | None = None
        """As that of `subprocess.Popen`: negative for the signal that ended it."""
        self._connection = connection
        self._hearing = asyncio.create_task(self._hear(), name=f"the end of process {pid}")

    @classmethod
    async def ask(cls, path: Path, request: Request, standard: Sequence[int]) -> Self:
        """A new process from the warm one that listens at `path`.

        `standard` are descriptors for its standard input, output and error; they stay the
        caller's. Raises `NotWarm` when nobody listens there, answers, or wants to fork.
        """
        connection = socket.socket(socket.AF_UNIX)
        try:
            pid = await _asked(connection, path, request, standard)
        except BaseException:
            connection.close()
            raise
        return cls(connection, pid)

    def send_signal(self, number: int) -> None:
        """Signal its process group; itself where it has made none yet."""
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            try:
                os.killpg(self.pid, number)
            except ProcessLookupError:
                os.kill(self.pid, number)

    async def wait(self) -> int:
        """How it ended, once it has."""
        await asyncio.wait([self._hearing])
        return self._hearing.result()

    async def close(self) -> None:
        """Let go of it: if it still runs, it is killed with all of its group."""
        self._hearing.cancel()
        await asyncio.wait([self._hearing])
        self._connection.close()

    async def _hear(self) -> int:
        try:
            self.returncode = int((await _line(self._connection))["status"])
        except (OSError, EOFError, ValueError):  # the warm process is gone, and so is what it made
            self.returncode = -signal.SIGKILL
        self._connection.close()
        return self.returncode


async def _asked(
    connection: socket.socket, path: Path, request: Request, standard: Sequence[int]
) -> int:
    """The pid of the new process."""
    connection.settimeout(ANSWER_S)
    try:
        connection.connect(str(path))
        send_request(connection, request, standard)
        connection.setblocking(False)  # noqa: FBT003
        async with asyncio.timeout(ANSWER_S):
            first = await _line(connection)
    except (OSError, EOFError, ValueError) as error:
        raise NotWarm(f"the warm process at {path} does not answer: {error}") from error
    if "error" in first:
        raise NotWarm(f"the warm process at {path} makes no process: {first['error']}")
    return int(first["pid"])


async def _line(connection: socket.socket) -> Mapping[str, Any]:
    """What is said next; a connection that ends says nothing that can be read."""
    loop, line = asyncio.get_running_loop(), b""
    while not line.endswith(b"\n"):
        # Byte by byte, so that what is said afterwards stays there.
        line += (byte := await loop.sock_recv(connection, 1))
        if not byte:
            raise EOFError(f"it closed the connection after {line!r}")
    said: Mapping[str, Any] = json.loads(line)
    return said
