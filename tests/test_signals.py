"""A command is told of the signals that ask it to end, and keeps what `nohup` set."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Final

import pytest

PROGRAM: Final = """
import asyncio, os, signal, sys
from labkit.signals import asked_to_end

async def be_told(first, second):
    told = asyncio.Queue()
    with asked_to_end(told.put_nowait):
        os.kill(os.getpid(), first)
        os.kill(os.getpid(), second)
        print((await asyncio.wait_for(told.get(), 60)).name, told.qsize(), flush=True)
    os.kill(os.getpid(), first)

first, second, hangup = sys.argv[1:]
signal.signal(signal.SIGHUP, signal.Handlers(int(hangup)))
loop = asyncio.new_event_loop()
loop.run_until_complete(be_told(signal.Signals[first], signal.Signals[second]))
"""
"""Sends itself two signals while it listens, and the first again afterwards.

Its last argument is what it does at SIGHUP otherwise.
"""


def told(first: str, second: str, hangup: signal.Handlers) -> tuple[str, int]:
    """What was told, with how much beside it, and how the process ended."""
    argv = [sys.executable, "-c", PROGRAM, first, second, str(int(hangup))]
    ended = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=False, timeout=60)
    return ended.stdout.strip(), ended.returncode


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_it_is_told_of_each_and_hears_none_afterwards(name: str) -> None:
    """What a signal does otherwise is as before when the block is left."""
    assert told(name, name, signal.SIG_DFL) == (f"{name} 1", -signal.Signals[name])


def test_an_interrupt_is_told_and_raises_nothing() -> None:
    """Afterwards it is Python's own again."""
    text, status = told("SIGINT", "SIGINT", signal.SIG_DFL)
    assert text == "SIGINT 1"
    assert status == -signal.SIGINT


def test_an_ignored_hangup_stays_ignored() -> None:
    """Whoever uses `nohup` means it; the other signals are heard all the same."""
    assert told("SIGHUP", "SIGTERM", signal.SIG_IGN) == ("SIGTERM 0", 0)
