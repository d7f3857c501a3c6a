"""The wire between a run and whoever executes one of its notebooks, in this process or another.

A Unix socket in the notebook's private folder, a line of JSON each: what is heard of the kernel
comes in, and an early end goes out.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Self

from labkit.batch.execution import Execution, Observer
from labkit.journal import Ending
from labkit.records import CheckStarted, Record, record_from_json, record_to_json

_SOCKET: Final = "wire.sock"
_LONGEST_LINE_BYTES: Final = 256 * 1024 * 1024
"""A check may compare very much, and its record holds all of it."""


class Wire:
    """The run's end: what comes in is told to an observer, in the run's loop."""

    def __init__(self, folder: Path, observer: Observer) -> None:
        self.path = folder / _SOCKET
        self._observer = observer
        self._ending: Ending | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._is_over = asyncio.Event()
        self._failure: Exception | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(
            self._serve, self.path, limit=_LONGEST_LINE_BYTES
        )
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._server.close()
        if self._writer is not None:
            self._writer.close()

    async def heard_all(self) -> None:
        """Wait until all is told of an execution that has returned.

        Raises what the observer raised, which ended the execution early.
        """
        await self._is_over.wait()
        if self._failure is not None:
            raise self._failure

    def stop(self, ending: Ending) -> None:
        """Ask for an early end, also of an execution that has not begun."""
        self._ending = self._ending or ending
        self._pass_on_ending()

    def _pass_on_ending(self) -> None:
        if self._writer is not None and self._ending is not None:
            self._writer.write(f"{self._ending}\n".encode())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._pass_on_ending()
        try:
            while line := await reader.readline():
                if self._failure is None:  # else it is read all the same, so that nobody waits
                    self._tell(json.loads(line))
        except ConnectionError:
            pass  # it has ended with an order unread; all that it said was read before
        except ValueError as error:  # a line without an end, or none that can be read
            self._failure = error
            writer.close()  # who writes on is told, and does not wait for ever
        finally:
            self._is_over.set()

    def _tell(self, message: dict[str, Any]) -> None:
        try:
            record = record_from_json(message["record"])
            if message["is_killed"] and isinstance(record, CheckStarted):
                self._observer.killed(record)
            else:
                self._observer.heard(record)
        except Exception as error:  # noqa: BLE001 - raised to who waits for all
            self._failure = error
            self.stop(Ending.CANCELLED)


class FarEnd:
    """The other end: an observer for the engine, which may call it from any thread."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._turn = threading.Lock()

    def heard(self, record: Record) -> None:
        """A record came in from the kernel."""
        self._send(record, is_killed=False)

    def killed(self, check: CheckStarted) -> None:
        """The kernel is being killed, since this check resists its deadline."""
        self._send(check, is_killed=True)

    def _send(self, record: Record, *, is_killed: bool) -> None:
        line = json.dumps({"record": record_to_json(record), "is_killed": is_killed})
        with self._turn:
            self._connection.sendall(line.encode() + b"\n")

    def close(self) -> None:
        """Say and hear nothing more."""
        self._connection.shutdown(socket.SHUT_RDWR)

    def obey(self, execution: Execution) -> None:
        """Stop the execution when the run asks for it; returns when the wire is closed."""
        with self._connection.makefile("r", encoding="utf-8") as orders:
            for order in orders:
                execution.stop(Ending(order.rstrip("\n")))


@contextlib.contextmanager
def far_end(path: Path) -> Iterator[FarEnd]:
    """The other end for as long as the block runs."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        far = FarEnd(connection)
        try:
            yield far
        finally:  # also after an error: who obeys waits for the end
            with contextlib.suppress(OSError):  # it is closed already
                far.close()
