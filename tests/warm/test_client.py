"""Who asks for a fork is told how it ended, can signal it, and is told why there is none."""

from __future__ import annotations

import asyncio
import signal
import socket
from pathlib import Path
from typing import Final

import pytest

from labkit.errors import NotWarm
from labkit.warm.client import ForkedProcess
from tests.services.owners import eventually, is_running, kill, none_runs
from tests.warm.stage import (
    STAYS_WITH_ANOTHER,
    WAITS,
    Warm,
    ended,
    forked,
    ran,
    warmed,
)

DIES_OF: Final = "import os; os.kill(os.getpid(), {number})"


@pytest.mark.parametrize(
    ("text", "status", "told"),
    [
        ("print('é')", 0, "é\n"),
        ("import sys; sys.exit(7)", 7, ""),
        ("import sys; sys.exit()", 0, ""),
        ("raise SystemExit('in words')", 1, "in words\n"),
        ("import os; os._exit(9)", 9, ""),
        ("import atexit; atexit.register(print, 'at exit')", 0, "at exit\n"),
        (DIES_OF.format(number="9"), -signal.SIGKILL, ""),
        (DIES_OF.format(number="11"), -signal.SIGSEGV, ""),
        (DIES_OF.format(number="15"), -signal.SIGTERM, ""),
        ("import ctypes; ctypes.string_at(0)", -signal.SIGSEGV, ""),
        ("import os; os.fork() or os._exit(3); os.wait(); print('on')", 0, "on\n"),
    ],
)
def test_each_way_to_end_has_its_status(text: str, status: int, told: str, warm: Warm) -> None:
    """That of `subprocess`, with all that was printed."""
    came = asyncio.run(ran(warm.door, text))
    assert (came.status, came.text) == (status, told)


def test_an_error_is_told_as_python_does(warm: Warm) -> None:
    """Its traceback stands on standard error, and the status is 1."""
    came = asyncio.run(ran(warm.door, "1 / 0"))
    assert came.status == 1
    assert came.text.startswith("Traceback (most recent call last)")
    assert came.text.endswith("ZeroDivisionError: division by zero\n")


def test_a_folder_that_is_not_there_ends_the_fork(warm: Warm, tmp_path: Path) -> None:
    """Its own standard error says so, and others are served."""
    came = asyncio.run(ran(warm.door, "print('here')", folder=tmp_path / "nowhere"))
    assert came.status == 1
    assert "FileNotFoundError" in came.text
    assert asyncio.run(ran(warm.door, "print('here')")).text == "here\n"


def test_a_signal_reaches_the_whole_group(warm: Warm) -> None:
    """The fork and what it started end; one more signal finds nobody, which is no error."""

    async def signalled() -> tuple[int, int]:
        async with forked(warm.door, STAYS_WITH_ANOTHER) as fork:
            started = int(fork.line())
            fork.process.send_signal(signal.SIGTERM)
            status = await ended(fork)
            fork.process.send_signal(signal.SIGTERM)
            assert fork.process.returncode == status
            return status, started

    status, started = asyncio.run(signalled())
    assert status == -signal.SIGTERM
    assert eventually(lambda: not is_running(started))


def test_a_signal_reaches_a_fork_that_has_no_group_yet() -> None:
    """It is itself signalled, and nobody of the group in which it was made."""

    async def signalled() -> int:
        ours, its = socket.socketpair()
        ours.setblocking(False)  # noqa: FBT003
        made = await asyncio.create_subprocess_exec("sleep", "300")
        process = ForkedProcess(ours, made.pid)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60.0):
            status = await made.wait()
        await process.close()
        its.close()
        return status

    assert asyncio.run(signalled()) == -signal.SIGTERM


def test_a_fork_that_is_let_go_of_is_killed_with_its_group(warm: Warm) -> None:
    """Nothing of it is left, however little it wanted to end."""

    async def let_go() -> list[int]:
        async with forked(warm.door, STAYS_WITH_ANOTHER) as fork:
            pids = [fork.process.pid, int(fork.line())]
            assert all(map(is_running, pids))
            assert fork.process.returncode is None
            return pids

    pids = asyncio.run(let_go())
    assert eventually(lambda: none_runs(pids))


def test_the_death_of_the_warm_process_is_the_death_of_its_forks() -> None:
    """After `kill -9` they are gone, whoever waits is told -9, and nobody can ask any longer."""

    async def killed() -> None:
        async with warmed() as own, forked(own.door, WAITS) as fork:
            assert fork.line() == "waits"
            kill(own.pid)
            assert await ended(fork) == -signal.SIGKILL
            assert eventually(lambda: not is_running(fork.process.pid))
            with pytest.raises(NotWarm, match=r"does not answer: .*refused"):
                await ran(own.door, "print('forked')")

    asyncio.run(killed())


def test_nobody_who_listens_is_told(socket_folder: Path) -> None:
    """The error says where nobody was found."""
    with pytest.raises(NotWarm, match=rf"{socket_folder}/door does not answer: .*No such file"):
        asyncio.run(ran(socket_folder / "door", "print('forked')"))


@pytest.mark.parametrize("said", [b"", b"nonsense\n", b'{"pid"'])
def test_somebody_who_listens_and_is_not_warm_is_told(said: bytes, socket_folder: Path) -> None:
    """Silence, nonsense and half an answer are no process."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(said)
        writer.close()
        await writer.wait_closed()

    async def ask() -> None:
        async with await asyncio.start_unix_server(answer, socket_folder / "door"):
            await ran(socket_folder / "door", "print('forked')")

    with pytest.raises(NotWarm, match="does not answer"):
        asyncio.run(ask())
