"""The owner of a warm process: it is started beside other work, and ends with the block."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import IO, Final

from labkit.redaction import Redactor, secrets_in
from labkit.warm.state import can_fork

READY_S: Final = 60.0
"""How long it may take to import everything, in seconds."""
END_S: Final = 10.0
"""How long it may take to end, in seconds; then it is killed, and Linux kills what it made."""

_MODULE: Final = "labkit.warm.process"

_log: Final = logging.getLogger(__name__)


class WarmProcess:
    """One that is warming up, or is warm."""

    def __init__(
        self, running: subprocess.Popen[bytes], log: IO[bytes], redactor: Redactor
    ) -> None:
        self._running = running
        self._log = log
        self._redactor = redactor
        self._listening: asyncio.Task[Path | None] | None = None

    def listen_in(self, folder: Path) -> None:
        """Let it listen, once it is warm, in a folder that is private and has a short path."""
        listening = self._listen(folder / "warm.sock")
        self._listening = asyncio.create_task(listening, name="the warm process")

    async def door(self) -> Path | None:
        """Where it listens, once it is warm; None where it does not: why is logged."""
        return await asyncio.shield(self._listening) if self._listening else None

    async def _listen(self, door: Path) -> Path | None:
        why = ""
        try:
            async with asyncio.timeout(READY_S), _lines(self._running.stdout) as lines:
                self._tell(f"{door}\n".encode())
                if await lines.readline():
                    return door
        except TimeoutError:
            why = f"it was not ready within {READY_S:g} s: "
        except ConnectionError:
            pass  # it has ended, and has told why
        text = "there are only cold kernels: the warm process did not start: %s%s"
        _log.warning(text, why, self._last_words())
        return None

    def _tell(self, line: bytes) -> None:
        if self._running.stdin is None:
            raise AssertionError("it is a pipe")
        self._running.stdin.write(line)
        self._running.stdin.flush()

    def _last_words(self) -> str:
        self._log.seek(0)
        told = self._log.read().decode(errors="replace").strip()
        return self._redactor.text(told) or "it said nothing"

    def end(self) -> None:
        """End it, and with it all that it made."""
        if self._listening is None:
            self._running.kill()  # it has made nothing, and is deaf until it is warm
        else:
            self._listening.cancel()
        try:
            self._running.communicate(timeout=END_S)
        except subprocess.TimeoutExpired:
            self._running.kill()
            self._running.communicate()


@contextlib.contextmanager
def warming_up(
    *, environment: Mapping[str, str], working_folder: Path
) -> Iterator[WarmProcess | None]:
    """A process that warms up from now on; where the system cannot fork, none."""
    if not can_fork():
        yield None
        return
    # In memory: there may be no room for a file, which is for others to tell.
    with os.fdopen(os.memfd_create("labkit-warm"), "w+b") as log:
        running = subprocess.Popen(
            [sys.executable, "-m", _MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=dict(environment),
            cwd=working_folder,
            start_new_session=True,  # an interrupt at the terminal is its owner's to handle
        )
        warm = WarmProcess(running, log, Redactor(secrets_in(environment)))
        try:
            yield warm
        finally:
            warm.end()


@contextlib.asynccontextmanager
async def _lines(pipe: IO[bytes] | None) -> AsyncIterator[asyncio.StreamReader]:
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, pipe)
    try:
        yield reader
    finally:
        transport.close()
