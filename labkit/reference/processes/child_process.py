"""A process of the platform, seen from its owner: started, asked, ended, never left behind.

A process is told what to do on its standard input, which stays open for as long as its owner lives,
and says on its standard output that it is ready. What it logs goes to a nameless file, whose end is
told when the process ended by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any, Final, Self

from labkit.errors import InfrastructureError, Rejected, ServiceUnavailable
from labkit.reference.processes.owner import LONGEST_LINE_BYTES, whole_line
from labkit.reference.tasks import end
from labkit.warm.programs import Program, start_program

_KILL_S: Final = 10.0
_TAIL_BYTES: Final = 2_000

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class ProcessLimits:
    """How long a process may take, in seconds."""

    ready_s: float = 60.0
    """To say that it is ready, on a machine that has much else to do."""
    answer_s: float = 10.0
    """To answer a question."""
    stop_s: float = 10.0
    """To stop in order; then it is killed."""


class ChildProcess:
    """One process; made by `start`."""

    def __init__(
        self,
        name: str,
        process: Program,
        log: IO[bytes],
        limits: ProcessLimits,
    ) -> None:
        self.name = name
        self.ready: Mapping[str, Any] = {}
        """What it said of itself when it was ready."""
        self._process = process
        self._log = log
        self._limits = limits
        self._is_ended_by_us = False
        self._asked = 0
        self._waiting: dict[int, asyncio.Future[Mapping[str, Any]]] = {}
        self._is_ready: asyncio.Future[Mapping[str, Any]] = (
            asyncio.get_running_loop().create_future()
        )
        self._hearing = asyncio.create_task(self._hear(), name=f"what {name} says")

    @classmethod
    async def start(
        cls, module: str, line: str, *, name: str, limits: ProcessLimits | None = None
    ) -> Self:
        """A process that runs a module, was told a line and is ready.

        Raises `InfrastructureError`, with the end of its log, when it does not come so far.
        """
        log = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        try:
            process = await start_program(module, errors=log, limit_bytes=LONGEST_LINE_BYTES)
        except BaseException:
            log.close()
            raise
        started = cls(name, process, log, limits or ProcessLimits())
        try:
            await started._begin(line)
        except BaseException:
            await started.stop()
            raise
        return started

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not been seen to end."""
        return self._process.returncode is None

    @property
    def last_words(self) -> str:
        """The end of what it has logged."""
        size = os.fstat(self._log.fileno()).st_size
        # Reading at a place of its own: the file's one position is where the process writes.
        tail = os.pread(self._log.fileno(), _TAIL_BYTES, max(0, size - _TAIL_BYTES))
        return tail.decode(errors="replace").strip() or "it logged nothing"

    @property
    def own_death(self) -> str:
        """How it ended by itself, with the end of its log; empty when it did not."""
        if self._is_ended_by_us or self.is_running:
            return ""
        return (
            f"{self.name} (pid {self.pid}) ended by itself with status "
            f"{self._process.returncode}: {self.last_words}"
        )

    async def noticed_death(self) -> str:
        """The same, also where it is gone and the loop is still to be told of it."""
        if self.is_running and has_ended(self.pid):
            await self._process.wait()
        return self.own_death

    async def _begin(self, line: str) -> None:
        with contextlib.suppress(TimeoutError, ConnectionError):  # what it says, or not, tells all
            async with asyncio.timeout(self._limits.ready_s):
                await self._say(line)
                await self._said(self._is_ready)
        if not self._is_ready.done():
            await self.kill()  # so that its log is whole
            text = f"{self.name} (pid {self.pid}) did not start"
            raise InfrastructureError(f"{text}: {self.last_words}")
        self.ready = self._is_ready.result()

    async def _say(self, line: str) -> None:
        if self._process.stdin is None:
            raise AssertionError("it is a pipe")
        self._process.stdin.write(f"{line}\n".encode())
        with contextlib.suppress(ConnectionError):  # it has ended, and has told why
            await self._process.stdin.drain()

    async def _hear(self) -> None:
        """Hand on each line that it says, to its end.

        It never stops reading, whoever waits for what: a process whose pipe is full cannot end.
        """
        if self._process.stdout is None:
            raise AssertionError("it is a pipe")
        while True:
            try:
                line = await whole_line(self._process.stdout)
                said = json.loads(line) if line else None
            except ValueError as error:
                said = {"id": None, "error": f"it said what cannot be read: {error}"}
            if said is None:
                return
            self._hand_on(said)

    def _hand_on(self, said: Mapping[str, Any]) -> None:
        if not self._is_ready.done():
            self._is_ready.set_result(said)
            return
        number = said["id"]
        # What cannot be told to be anybody's is everybody's; who waits no longer is passed over.
        for asked in self._waiting if number is None else {number}:
            waiting = self._waiting.get(asked)
            if waiting is not None and not waiting.done():
                waiting.set_result(said)

    async def _said(self, awaited: asyncio.Future[Mapping[str, Any]]) -> None:
        """Wait until it has said this, or says nothing more."""
        either: set[asyncio.Future[Any]] = {awaited, self._hearing}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)

    async def ask(self, question: str, **facts: str) -> Any:
        """Its answer, whoever else waits for one.

        Raises `ServiceUnavailable` when it has ended, or does not answer in time, and `Rejected`
        when it cannot answer this.
        """
        self._asked += 1
        number = self._asked
        waiting: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = waiting
        try:
            async with asyncio.timeout(self._limits.answer_s):
                await self._say(json.dumps({"id": number, "ask": question, **facts}))
                await self._said(waiting)
                if not waiting.done():
                    await self._process.wait()  # it says nothing more: this is its end
        except TimeoutError as error:
            text = f"{self.name} (pid {self.pid}) did not answer within"
            raise ServiceUnavailable(f"{text} {self._limits.answer_s:g} s") from error
        finally:
            del self._waiting[number]
        if not waiting.done():
            raise ServiceUnavailable(self.own_death or f"{self.name} (pid {self.pid}) was stopped")
        answer = waiting.result()
        if "error" in answer:
            raise Rejected(f"{self.name} (pid {self.pid}) has no answer: {answer['error']}")
        return answer["answer"]

    async def stop(self) -> None:
        """Let it stop in order, for a bounded time, then kill it; it is reaped in any case."""
        self._is_ended_by_us |= self.is_running
        try:
            if self._process.stdin is not None:
                self._process.stdin.close()
            async with asyncio.timeout(self._limits.stop_s):
                await self._process.wait()
        except TimeoutError:
            text = "%s (pid %s) did not stop in time and is killed: %s"
            _log.warning(text, self.name, self.pid, self.last_words)
        finally:
            try:
                await self._reap()
            finally:
                await end(self._hearing)
                self._log.close()

    async def kill(self) -> int:
        """End it by SIGKILL, unless it has ended already; its status, -9 when it died of that."""
        self._is_ended_by_us |= self.is_running
        return await self._reap()

    async def _reap(self) -> int:
        if self.is_running:
            # Not `Process.kill`: it polls first, and so may take the exit status away from the
            # loop's watcher, which then says 255.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(_KILL_S):
                return await self._process.wait()
        except TimeoutError as error:
            text = f"{self.name} (pid {self.pid}) has not ended within {_KILL_S:g} s of SIGKILL"
            raise InfrastructureError(text) from error


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or dead and still to be reaped by whose child it is."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # it was reaped, or is the warm process's, which does so at once
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
