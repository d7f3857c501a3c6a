"""What ended processes leave behind: adopted by a process with one thread, reaped, and ended."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final

_PR_SET_CHILD_SUBREAPER: Final = 36


def adopt_orphans() -> None:
    """Be the parent of what its descendants leave behind, instead of process 1; on Linux alone."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def list_of_children() -> Path:
    """Where Linux lists the children of this process's first thread."""
    return Path(f"/proc/self/task/{os.getpid()}/children")


def children() -> AbstractSet[int]:
    """The pids of this process's children, those included that have ended and were not reaped."""
    return set(map(int, list_of_children().read_text().split()))


def reap(pids: Iterable[int]) -> None:
    """Let go of those of these children that have ended."""
    for pid in pids:
        os.waitpid(pid, os.WNOHANG)


def end_children(*, asked_s: float, killed_s: float) -> None:
    """End all children, and what these leave behind in turn: they are asked, and later killed.

    A server thus has `asked_s` seconds to clear up after itself. Who still lives `killed_s` seconds
    after that is another user's, or waits for a device: it is left alone.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    kill_from = time.monotonic() + asked_s
    asked = set[int]()
    while left := _living():
        now = time.monotonic()
        if now < kill_from:
            _signal(left - asked, signal.SIGTERM)
            asked |= left
            signal.sigtimedwait({signal.SIGCHLD}, kill_from - now)
        elif now < kill_from + killed_s:
            _signal(left, signal.SIGKILL)
            signal.sigtimedwait({signal.SIGCHLD}, kill_from + killed_s - now)
        else:
            return


def _living() -> AbstractSet[int]:
    reap(children())
    return children()


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(PermissionError):
            os.kill(pid, number)
