"""What a process must be for a fork of it to be whole, and what a fork must be given anew."""

from __future__ import annotations

import asyncio
import ctypes
import os
import random
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def can_fork() -> bool:
    """Whether this system has what it takes: Linux, from 5.3 on."""
    return sys.platform == "linux" and hasattr(os, "pidfd_open")


def why_not_to_fork() -> str:
    """Why a fork of this process would not be whole; empty when it would.

    Threads, event loops and zmq contexts do not live on in a fork, and leave it locks and
    descriptors that nobody serves.
    """
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads != 1:
        return f"the warm process has {threads} threads, not one"
    if _event_loop() is not None:
        return "the warm process has an event loop"
    zmq = sys.modules.get("zmq")
    if zmq is not None and zmq.Context._instance is not None:  # noqa: SLF001 - nothing else tells
        return "the warm process has a zmq context"
    return ""


def _event_loop() -> asyncio.AbstractEventLoop | None:
    local = getattr(asyncio.get_event_loop_policy(), "_local", None)
    loop: asyncio.AbstractEventLoop | None = getattr(local, "_loop", None)
    return loop


def die_with(parent: int) -> None:
    """Be killed by Linux when the parent's thread that made this process ends.

    Other systems have no such signal.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it was gone before the signal was asked for
            os._exit(1)


def renew(environment: Mapping[str, str], folder: str) -> None:
    """Give a new process what is its own: environment, working folder, random numbers.

    What asks the system each time needs nothing: uuid, secrets, tempfile. Texts are hashed as in
    all other forks of the same process.
    """
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(folder)
    random.seed()
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
