"""What a process must be for a fork of it to be whole, and what a fork must be given anew."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from labkit.warm.orphans import list_of_children

_PR_SET_PDEATHSIG: Final = 1
_SIGNS: Final[Mapping[str, str]] = {
    "anon_inode:[eventpoll]": "an event loop",
    "anon_inode:[eventfd]": "a zmq context",
}
"""The kinds of descriptors that tell of what cannot be forked."""


def can_fork() -> bool:
    """Whether this system has what it takes: Linux, from 5.3 on, that tells of children."""
    return hasattr(os, "pidfd_open") and list_of_children().exists()


def why_not_to_fork() -> str:
    """Why a fork of this process would not be whole; empty when it would.

    Threads, event loops and zmq contexts do not live on in a fork, and leave it locks and
    descriptors that nobody serves.
    """
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads != 1:
        return f"the warm process has {threads} threads, not one"
    with os.scandir("/proc/self/fd") as links:
        kinds = {str(Path(link).readlink()) for link in links}
    found = [sign for kind, sign in _SIGNS.items() if kind in kinds]
    return f"the warm process has {found[0]}" if found else ""


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

    What asks the system each time needs nothing: uuid, secrets, names of temporary files; `random`
    sees to itself. Texts are hashed as in all other forks of the same process.
    """
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    tempfile.tempdir = None  # it is looked for once, by the environment
    os.chdir(folder)
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
