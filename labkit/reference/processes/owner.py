"""The owner of a process of the platform, seen from that process.

The owner's first line on standard input says what to do; its end says that the owner is gone. What
the process has to say goes to its standard output, line by line; logs go to standard error.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import io
import json
import os
import signal
import sys
from collections.abc import Mapping
from typing import Final, Self

LONGEST_LINE_BYTES: Final = 1_000_000
"""The longest question or answer: more than all settings, or all notices, of a service take."""

_PR_SET_PDEATHSIG: Final = 1


class Owner:
    """Whom this process works for; made by `met`, once."""

    def __init__(self, first: str, answers: int) -> None:
        self.first = first
        """The line that it said first."""
        self._answers = answers

    @classmethod
    def met(cls) -> Self:
        """Bind this process to its owner's life, and wait for the owner's first line."""
        _die_with_parent()
        answers = os.dup(sys.stdout.fileno())
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a target prints is a log
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(line_buffering=True)  # which a kill must not lose
        return cls(sys.stdin.readline(), answers)

    def told(self, value: Mapping[str, object]) -> None:
        """Say one line of JSON to the owner; one that is gone is told nothing."""
        line = memoryview(f"{json.dumps(value)}\n".encode())
        with contextlib.suppress(ConnectionError):  # its end is told by standard input
            while line:
                line = line[os.write(self._answers, line) :]

    @staticmethod
    def wishes_end() -> asyncio.Event:
        """An event that SIGTERM and SIGINT set from now on, in the running loop."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        return stop


async def whole_line(reader: asyncio.StreamReader) -> bytes:
    """The next line, or what comes before the end; nothing at the end.

    Raises `ValueError` for one that is longer than the reader's limit, of which nothing is left.
    """
    dropped_bytes = 0
    while True:
        try:
            line = await reader.readuntil()
        except asyncio.IncompleteReadError as error:
            line = error.partial
        except asyncio.LimitOverrunError as error:
            dropped_bytes += len(await reader.readexactly(error.consumed))
            continue
        if dropped_bytes:
            raise ValueError(f"a line of {dropped_bytes + len(line):,} bytes is too long")
        return line


def _die_with_parent() -> None:
    """Have Linux kill this process with the owner's thread that started it.

    The end of standard input tells the same everywhere, but only to a loop that still turns.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
