"""An owner for servers that outlives whoever asked for them, by the moment it takes to clean up.

`keep` starts a process of its own (`labkit.services.keeper_process`) and talks to it over a socket.
That process holds the servers and their private folder; when the block is left, or this process
dies in whatever way, it stops the servers and deletes the folder. A `Will` is a command that it
runs only in the second case: how leases on servers that are not ours are given back after SIGKILL.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import labkit
from labkit.errors import ServiceUnavailable
from labkit.services.binaries import Account
from labkit.services.keeper_folder import make_folder
from labkit.services.places import scratch_folders

_ANSWER_DEADLINE_S: Final = 60.0
_LONGEST_LINE_BYTES: Final = 1_000_000
_PARTING_DEADLINE_S: Final = 20.0
_BOOTSTRAP: Final = (
    "import sys; sys.path.append(sys.argv[1]);"
    "from labkit.services.keeper_process import main; main(*sys.argv[2:])"
)
"""Imported and not run as a script, it is compiled once."""


@dataclass(frozen=True)
class Will:
    """A command to be run when this process dies without leaving the block in order.

    It runs in this process's environment and working folder, with `stdin` as its input, and is
    killed after `deadline_s` seconds; what it writes is lost, for nobody is left to read it.
    """

    argv: tuple[str, ...]
    stdin: str = field(default="", repr=False)
    deadline_s: float = 20.0


@dataclass(frozen=True)
class ServerCommand:
    """How a server is started and stopped; what is secret goes to its `stdin`."""

    name: str
    argv: tuple[str, ...]
    stop_signal: signal.Signals
    stdin: str = field(default="", repr=False)


class Keeper:
    """The keeper's process as its owner sees it: orders to be answered one after the other."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, folder: Path
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()
        self._orders = 0
        self.folder = folder
        """The private folder that the servers' data and sockets go to; deleted at the end."""

    def open(self, will: Will | None, account: Account | None) -> None:
        """Give the first order, to be read once it is up: what to do at the end, and as whom."""
        as_whom = account and (account.uid, account.gid)
        order = {"number": 0, "will": will and asdict(will), "account": as_whom}
        self._writer.write(json.dumps(order).encode() + b"\n")

    async def ready(self) -> None:
        """Wait until it is up; raises `ServiceUnavailable` when it does not come so far."""
        await self._ask({"verb": "ready"})

    async def run(self, argv: Sequence[str], *, deadline_s: float = 60.0) -> None:
        """Run a command to its end, in the folder and as the servers' user.

        Raises `ServiceUnavailable` with what it wrote when it fails or takes too long.
        """
        order = {"argv": argv, "deadline_s": deadline_s}
        done = await self._ask({"verb": "run", **order}, deadline_s)
        if done["status"] != 0:
            text = f"`{argv[0]}` ended with status {done['status']}: {_last_lines(done['output'])}"
            raise ServiceUnavailable(text)

    async def start(self, command: ServerCommand) -> None:
        """Start a server; whether it is ready is for its client to find out."""
        await self._ask({"verb": "start", **asdict(command)})

    async def ensure_alive(self, name: str) -> None:
        """Raise `ServiceUnavailable` with the last lines of the server's log when it has ended."""
        status = await self._ask({"verb": "status", "name": name})
        if status is not None:
            raise ServiceUnavailable(f"{name} ended with status {status}: {self.last_words(name)}")

    async def crash(self, name: str) -> Sequence[int]:
        """Kill a server's processes before any can flush; their pids, all proven to be gone."""
        pids: Sequence[int] = await self._ask({"verb": "crash", "name": name})
        return pids

    def last_words(self, name: str) -> str:
        """The last lines of a server's log."""
        with contextlib.suppress(FileNotFoundError):
            return _last_lines((self.folder / f"{name}.log").read_text(errors="replace"))
        return "it wrote no log"

    async def _ask(self, order: dict[str, Any], deadline_s: float = 0.0) -> Any:
        """The answer to an order, whose own deadline comes on top of that for an answer."""
        self._orders += 1
        number = self._orders
        try:
            async with self._turn, asyncio.timeout(deadline_s + _ANSWER_DEADLINE_S):
                self._writer.write(json.dumps({"number": number, **order}).encode() + b"\n")
                answer = await self._answer_to(number)
        except (ConnectionError, TimeoutError) as error:
            text = "the keeper of the lab's servers has died or hangs, and they with it"
            raise ServiceUnavailable(text) from error
        if "error" in answer:
            raise ServiceUnavailable(f"the keeper of the lab's servers failed: {answer['error']}")
        return answer["result"]

    async def _answer_to(self, number: int) -> Any:
        """The answer with this number; one whose asker was cancelled may still come before it."""
        await self._writer.drain()
        while line := await self._reader.readline():
            answer = json.loads(line)
            if answer["number"] == number:
                return answer
        raise ConnectionResetError("the keeper closed its socket")

    async def part(self) -> None:
        """Say goodbye and wait until servers and folder are gone."""
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(_PARTING_DEADLINE_S):
                self._writer.write(b'{"verb": "goodbye"}\n')
                await self._reader.read()
        self._writer.close()


@asynccontextmanager
async def keep(
    *,
    will: Will | None = None,
    account: Account | None = None,
    executable: bool = False,
    ahead: bool = False,
) -> AsyncIterator[Keeper]:
    """A keeper for as long as the block runs, or this process lives.

    Its servers run as `account` where there is one; `executable` says that programs must be able to
    run from its folder. Leaving the block by an error is leaving it in order: the will is for an
    owner that can no longer clean up by itself. With `ahead` the block begins while the keeper
    still starts; it deletes what is put into its folder by then all the same. Raises
    `ServiceUnavailable` when it cannot start, which with `ahead` the first order does.
    """
    ours, its = socket.socketpair()
    with ours:
        with its:
            process, folder = _start(its, account, scratch_folders(executable=executable))
        try:
            reader, writer = await asyncio.open_connection(sock=ours, limit=_LONGEST_LINE_BYTES)
            keeper = Keeper(reader, writer, folder)
            try:
                keeper.open(will, account)
                if not ahead:
                    await keeper.ready()
                yield keeper
            finally:
                await keeper.part()
        finally:
            ours.close()
            _see_off(process)


def _start(
    its: socket.socket, account: Account | None, bases: Sequence[Path]
) -> tuple[subprocess.Popen[bytes], Path]:
    """Make the folder and start the process that inherits its lock."""
    try:
        folder = make_folder(bases, (account.uid, account.gid) if account else None)
    except OSError as error:
        text = f"a private folder for the lab's servers cannot be made: {error}"
        raise ServiceUnavailable(text) from error
    root = str(Path(labkit.__file__).parents[1])
    argv = [sys.executable, "-I", "-S", "-c", _BOOTSTRAP, root, str(folder.path), str(folder.lock)]
    try:
        process = subprocess.Popen(
            argv,
            stdin=its.fileno(),
            stdout=its.fileno(),
            pass_fds=[folder.lock],
            start_new_session=True,
        )
    except OSError as error:
        folder.delete()
        text = f"a keeper for the lab's servers cannot be started: {error}"
        raise ServiceUnavailable(text) from error
    os.close(folder.lock)
    return process, folder.path


def _see_off(process: subprocess.Popen[bytes]) -> None:
    """Reap the keeper, which is at its end; one that hangs is killed, and Linux kills its servers.

    This blocks the loop, by milliseconds in the ordinary case, so that no cancellation can leave
    before the servers are gone.
    """
    try:
        process.wait(_PARTING_DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _last_lines(text: str) -> str:
    return " | ".join(text.strip().splitlines()[-8:]) or "it wrote nothing"
