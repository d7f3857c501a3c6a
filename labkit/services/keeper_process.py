"""The process that owns servers: it lives exactly as long as whoever started it.

Started by `labkit.services.keeper`, without site-packages and with nothing of labkit but a folder,
so that it is up in a few hundredths of a second. Its standard input and output are one socket to
its owner, one JSON object per line: an order in, an answer out. When the socket ends, it stops the
servers, deletes their folder, and exits; when it ended without a goodbye, which is what an owner
killed with SIGKILL leaves, it also carries out the owner's last will.

Should this process be killed the same way, Linux kills its servers for it (`PR_SET_PDEATHSIG`), and
the next keeper deletes the folder, since the lock in it is free.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from labkit.services.keeper_folder import Account, Folder

TYPE_CHECKING = False
if TYPE_CHECKING:  # the module `typing` takes longer to load than what this process does at first
    from types import FrameType
    from typing import Any, Final

STOP_DEADLINE_S: Final = 2.0
"""How long all servers together may take to stop before they are killed."""

_PAUSE_S: Final = 0.002
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36


class Children:
    """Starts processes that die with this one, as `account` if there is one."""

    def __init__(self, account: Account | None) -> None:
        self._account = account
        self._libc = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "linux":
            # Orphans of a killed server become children of this process, which can then wait
            # for them: the proof that they are gone.
            self._libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def start(
        self, argv: Sequence[str], folder: Path | None, output: int, *, privileged: bool = False
    ) -> subprocess.Popen[bytes]:
        """Start a process in `folder`, or with this process's own folder and environment."""
        uid, gid = (None, None) if privileged or not self._account else self._account
        return subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            cwd=folder,
            env={"PATH": os.defpath, "LC_ALL": "C"} if folder else None,
            user=uid,
            group=gid,
            extra_groups=None if uid is None else [],
            start_new_session=True,
            preexec_fn=self._die_with_parent(os.getpid()),  # noqa: PLW1509 - there are no threads
        )

    def _die_with_parent(self, parent: int) -> Callable[[], None]:
        """What a child does last before it becomes the server: a change of uid undoes it."""

        def ask() -> None:
            if sys.platform == "linux":
                self._libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
                if os.getppid() != parent:
                    os._exit(1)

        return ask


class Server:
    """One running server: its process, and the signal that stops it."""

    def __init__(self, process: subprocess.Popen[bytes], stop_signal: int) -> None:
        self.process = process
        self.stop_signal = stop_signal

    def stop(self) -> None:
        """Ask the server to end."""
        if self.process.poll() is None:
            self.process.send_signal(self.stop_signal)

    def end(self, deadline: float) -> None:
        """Wait until the server is gone, and kill it with its children at the deadline."""
        try:
            self.process.wait(max(deadline - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            self.crash()

    def crash(self) -> list[int]:
        """Kill the server and all its processes with SIGKILL, none having time to flush.

        All are stopped first, the parent before its children, so that none reacts to the death
        of another and no new one appears. Raises `OSError` when one is left after the deadline.
        """
        pids = [self.process.pid]
        if self.process.poll() is not None:
            return []
        os.kill(self.process.pid, signal.SIGSTOP)
        pids += _children_of(self.process.pid)
        for each in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, each)
        self.process.wait()
        _await_death(pids[1:])
        return pids


def _children_of(parent: int) -> list[int]:
    return [pid for pid, its_parent in _processes() if its_parent == parent]


def _processes() -> Iterator[tuple[int, int]]:
    """All processes, each with its parent; minimal Linux systems have no `ps`, macOS no `/proc`."""
    if sys.platform == "linux":
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                after_name = path.read_text(errors="replace").rpartition(")")[2].split()
                yield int(path.parent.name), int(after_name[1])
    else:
        command = ["/bin/ps", "-A", "-o", "pid=,ppid="]
        listed = subprocess.run(command, capture_output=True, check=True, text=True).stdout
        for line in listed.splitlines():
            pid, parent = line.split()
            yield int(pid), int(parent)


def _await_death(pids: Sequence[int]) -> None:
    deadline = time.monotonic() + STOP_DEADLINE_S
    left = set(pids)
    while left:
        left = {pid for pid in left if not _is_dead(pid)}
        if left and time.monotonic() > deadline:
            raise OSError(f"processes {sorted(left)} outlived SIGKILL by {STOP_DEADLINE_S} s")
        time.sleep(_PAUSE_S if left else 0)


def _is_dead(pid: int) -> bool:
    """Whether an orphan is gone; where orphans come to this process it is also reaped."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


class Keeper:
    """Carries out the orders of one owner."""

    def __init__(self, order: Mapping[str, Any], folder: Folder) -> None:
        self._will = order["will"]
        self._children = Children(order["account"] and tuple(order["account"]))
        self._servers: dict[str, Server] = {}
        self.folder = folder
        self._verbs: Mapping[str, Callable[[Mapping[str, Any]], object]] = {
            "ready": lambda _order: None,
            "run": self.run,
            "start": self.start,
            "status": lambda order: self._servers[order["name"]].process.poll(),
            "crash": lambda order: self._servers[order["name"]].crash(),
        }

    def obey(self, order: Mapping[str, Any]) -> Mapping[str, Any]:
        """The answer to one order: its result, or the error of the system that stopped it."""
        try:
            result = self._verbs[order["verb"]](order)
        except (OSError, subprocess.SubprocessError) as error:
            return {"number": order["number"], "error": f"{type(error).__name__}: {error}"}
        return {"number": order["number"], "result": result}

    def run(self, order: Mapping[str, Any]) -> object:
        """Run a command to its end; its exit status and what it wrote."""
        process = self._children.start(order["argv"], self.folder.path, subprocess.PIPE)
        with process:
            try:
                output, errors = process.communicate(timeout=order["deadline_s"])
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return {"status": process.returncode, "output": (output + errors).decode(errors="replace")}

    def start(self, order: Mapping[str, Any]) -> object:
        """Start a server that reads `stdin` to its end; its log is `<name>.log` in the folder."""
        log = os.open(
            self.folder.path / f"{order['name']}.log",
            os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC,
            0o600,
        )
        try:
            process = self._children.start(order["argv"], self.folder.path, log)
        finally:
            os.close(log)
        self._servers[order["name"]] = Server(process, order["stop_signal"])
        with contextlib.suppress(BrokenPipeError):
            _feed(process, order["stdin"])
        return process.pid

    def end(self, *, orphaned: bool) -> None:
        """Stop all servers at once, delete their folder, and carry out the will of a dead owner."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for server in self._servers.values():
            server.stop()
        deadline = time.monotonic() + STOP_DEADLINE_S
        for server in self._servers.values():
            server.end(deadline)
        self.folder.delete()
        if orphaned and self._will is not None:
            self._carry_out(self._will)

    def _carry_out(self, will: Mapping[str, Any]) -> None:
        process = self._children.start(will["argv"], None, subprocess.DEVNULL, privileged=True)
        with process:
            try:
                process.communicate(will["stdin"].encode(), timeout=will["deadline_s"])
            except subprocess.TimeoutExpired:
                process.kill()


def _feed(process: subprocess.Popen[bytes], text: str) -> None:
    if process.stdin is not None:
        with process.stdin as pipe:
            pipe.write(text.encode())


def _orders() -> Iterator[Mapping[str, Any]]:
    """What the owner asks for, until the socket ends."""
    with contextlib.suppress(ConnectionError):
        for line in sys.stdin.buffer:
            if line.endswith(b"\n"):  # an owner may be killed half-way through a line
                yield json.loads(line)


def _answer(answer: Mapping[str, Any]) -> None:
    left = json.dumps(answer).encode() + b"\n"
    with contextlib.suppress(BrokenPipeError):  # the owner is gone, which reading will tell
        while left:
            left = left[os.write(sys.stdout.fileno(), left) :]


def _terminated(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + signal.SIGTERM)


def main(folder_path: str, lock: str) -> None:
    """Serve one owner until it says goodbye, dies, or this process is told to end.

    The folder is there already, locked by an inherited descriptor.
    """
    signal.signal(signal.SIGTERM, _terminated)
    folder = Folder(Path(folder_path), int(lock))
    orders = _orders()
    first = next(orders, None)
    if first is None:
        folder.delete()
        return
    keeper = Keeper(first, folder)
    orphaned = False
    try:
        _answer({"number": first["number"], "result": None})
        for order in orders:
            if order["verb"] == "goodbye":
                break
            _answer(keeper.obey(order))
        else:
            orphaned = True
    finally:
        keeper.end(orphaned=orphaned)
