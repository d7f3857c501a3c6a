"""Processes that own servers and are killed, and what is left of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from labkit.services.endpoints import Services
from labkit.services.urls import PostgresUrl

_DEADLINE_S = 60.0


def same_imports() -> dict[str, str]:
    """The environment for a Python process that imports from where this one does."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


@contextmanager
def owner(source: str, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], Any]]:
    """A Python process and the JSON value that it prints first; killed when the block is left."""
    process = subprocess.Popen(
        [sys.executable, "-c", source, *arguments],
        env=same_imports(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


def kill(pid: int) -> None:
    """Kill a process as nothing can be caught."""
    os.kill(pid, signal.SIGKILL)


def eventually(holds: Callable[[], bool]) -> bool:
    """Whether something holds within a bounded time."""
    deadline = time.monotonic() + _DEADLINE_S
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)
    return holds()


def is_running(pid: int) -> bool:
    """Whether a process exists; one that is dead and only waits for its parent does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:  # also where it is reaped between the opening and the reading
        return False
    except FileNotFoundError:
        return not Path("/proc/self").exists()


def none_runs(pids: Sequence[int]) -> bool:
    """Whether none of some processes exists."""
    return not any(map(is_running, pids))


def folder_of(services: Services) -> Path:
    """The private folder of embedded servers."""
    return folder_in(services.postgres.url.reveal())


def folder_in(url: str) -> Path:
    """The folder of the socket that PostgreSQL's URL names."""
    return Path(PostgresUrl.parse(url).hosts[0].name)


def postmaster_of(folder: Path) -> int:
    """The process of the PostgreSQL that runs in a keeper's folder."""
    return int((folder / "cluster/data/postmaster.pid").read_text().split()[0])
