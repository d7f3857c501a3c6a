"""The forks of a warm process: each made for a request, and ended with who asked for it.

The connection of a request is a lease: when it ends before the new process does, the whole process
group of that process is killed. What has left the group, as daemons do, comes to the warm process
when its parent is gone, and ends with that.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from labkit.errors import NotWarm, RecordError
from labkit.warm.orphans import adopt_orphans, children, end_children, reap
from labkit.warm.requests import STANDARD, Request, answer, receive_request
from labkit.warm.state import die_with, why_not_to_fork

REQUEST_S: Final = 5.0
"""How long a request may take to come in, in seconds; everybody else waits meanwhile."""
ASKED_S: Final = 3.0
"""How long what forks left behind may take to end when it is asked to, in seconds."""
KILLED_S: Final = 2.0
"""How long it may take to be gone when it is killed, in seconds."""
MOST_WATCHED: Final = 64
"""Of so many left behind the end is told, each by a descriptor; others are reaped with them."""


@dataclass(frozen=True)
class _Fork:
    """A process that was made, seen from the warm one."""

    pid: int
    pidfd: int
    lease: socket.socket

    def kill(self) -> None:
        """Kill all of its group, and itself where it has made none yet."""
        for kill in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                kill(self.pid, signal.SIGKILL)

    def reap(self) -> int:
        """How it ended; whatever it left behind in its group is killed before its pid is free."""
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        self.kill()
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


class Forks:
    """Waits for requests at a listening socket, and for the ends of what they made.

    `owner` is a descriptor that can be read when the owner is gone: then all is ended.
    """

    def __init__(self, door: socket.socket, owner: int) -> None:
        self._door = door
        self._owner = owner
        self._forks: dict[int, _Fork] = {}
        self._orphans: dict[int, int] = {}  # the pidfd of each
        self._selector = selectors.PollSelector()  # it has no descriptor, as event loops have
        for ready in (door, owner):
            self._selector.register(ready, selectors.EVENT_READ)

    def serve(self) -> Request | None:
        """Serve until the owner is gone, which gives None; in a new process, what that is to be."""
        adopt_orphans()
        while True:
            ready = self._selector.select()
            ended = {key.data.pid: key.data for key, _ in ready if key.data}
            for fork in ended.values():
                self._end(fork)
            for key, _ in ready:
                if key.fileobj == self._owner:
                    self._end_all()
                    return None
                if key.fileobj is self._door and (request := self._admit()):
                    return request
            self._watch_orphans()

    def _admit(self) -> Request | None:
        """Serve one who asks; in the process that is made for it, what that is to be."""
        lease, _ = self._door.accept()
        try:
            request, descriptors = receive_request(lease, time.monotonic() + REQUEST_S)
        except (OSError, RecordError) as error:
            _refuse(lease, str(error))
            return None
        try:
            return request if self._fork(lease, descriptors) else None
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _fork(self, lease: socket.socket, descriptors: Sequence[int]) -> bool:
        """Make a process; whether this is it."""
        warm = os.getpid()
        try:
            pid = _new_process()
        except OSError as error:
            _refuse(lease, str(error))
            return False
        if pid == 0:
            os.setsid()
            die_with(warm)
            self._leave(lease)
            for descriptor, standard in zip(descriptors, STANDARD, strict=True):
                os.dup2(descriptor, standard)
            return True
        fork = _Fork(pid, os.pidfd_open(pid), lease)
        self._forks[pid] = fork
        for ready in (fork.pidfd, fork.lease):
            self._selector.register(ready, selectors.EVENT_READ, fork)
        with contextlib.suppress(OSError):  # who asked is gone, which the next look will tell
            answer(lease, pid=pid)
        return False

    def _leave(self, lease: socket.socket) -> None:
        """In a new process: let go of all that is the warm one's."""
        self._door.close()
        os.close(self._owner)
        lease.close()
        for fork in self._forks.values():
            fork.lease.close()
            os.close(fork.pidfd)
        for pidfd in self._orphans.values():
            os.close(pidfd)

    def _end(self, fork: _Fork) -> None:
        """It has ended, or who asked for it has: then it is ended now."""
        fork.kill()
        status = fork.reap()
        del self._forks[fork.pid]
        with contextlib.suppress(OSError):  # nobody is left who would want to know
            answer(fork.lease, status=status)
        for ready in (fork.pidfd, fork.lease):
            self._selector.unregister(ready)
        fork.lease.close()
        os.close(fork.pidfd)

    def _watch_orphans(self) -> None:
        """Reap what has ended of all that forks left behind; the end of others will be told."""
        reap(children() - self._forks.keys())
        left = children() - self._forks.keys()
        for pid in self._orphans.keys() - left:
            pidfd = self._orphans.pop(pid)
            self._selector.unregister(pidfd)
            os.close(pidfd)
        more = MOST_WATCHED - len(self._orphans)
        for pid in islice(left - self._orphans.keys(), max(more, 0)):
            self._orphans[pid] = os.pidfd_open(pid)
            self._selector.register(self._orphans[pid], selectors.EVENT_READ)

    def _end_all(self) -> None:
        for fork in list(self._forks.values()):
            self._end(fork)
        end_children(asked_s=ASKED_S, killed_s=KILLED_S)


def _new_process() -> int:
    """The pid of a fork of this process, and 0 in that; raises `OSError` where none can be made."""
    if why := why_not_to_fork():
        raise NotWarm(why)
    return os.fork()


def _refuse(lease: socket.socket, why: str) -> None:
    with lease, contextlib.suppress(OSError):
        answer(lease, error=why)
