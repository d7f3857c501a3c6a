"""The private folder of one keeper: marked and locked while it lives, and swept when it is dead."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import re
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:  # the module `typing` takes a keeper longer to load than its folder to make
    from typing import Final

FOLDER_PREFIX: Final = "labkit-"
MARKER: Final = ".labkit-keeper"
"""The file that says that a folder is a keeper's; locked for as long as its keeper lives."""

Account = tuple[int, int]
"""The uid and gid that servers run as where they refuse root."""

_HALF_MADE_AFTER_S: Final = 60.0
_IPC_RMID: Final = 0
_CHUNK_BYTES: Final = 1 << 20


class Folder:
    """The private folder of one keeper, in the first of the `bases`; locked until it is deleted."""

    def __init__(self, bases: Sequence[Path], account: Account | None) -> None:
        for base in bases:
            _sweep(base)
        while not self._make(bases[0]):
            continue
        if account is not None:
            os.chown(self.path, *account)

    def _make(self, base: Path) -> bool:
        """Make a folder and lock its marker; False when a sweeper took it in between."""
        self.path = base / f"{FOLDER_PREFIX}{os.urandom(4).hex()}"
        self.path.mkdir(mode=0o700)
        self._lock = os.open(self.path / MARKER, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        if _lock_at(self._lock, self.path / MARKER):
            return True
        os.close(self._lock)
        return False

    def delete(self) -> None:
        """Delete the folder with all in it, then let go of the lock."""
        _delete(self.path)
        os.close(self._lock)


def _lock_at(descriptor: int, path: Path) -> bool:
    """Take the lock of an open file if it is free and the file still stands at `path`."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except (BlockingIOError, FileNotFoundError):
        return False


def _sweep(base: Path) -> None:
    """Delete what keepers of this user left in `base` when they were killed.

    What cannot be opened is another user's, and what cannot be deleted is being deleted by
    another keeper or written by a dying server: the next keeper looks again.
    """
    for path in base.glob(f"{FOLDER_PREFIX}*"):
        with contextlib.suppress(OSError):
            _sweep_one(path)


def _sweep_one(path: Path) -> None:
    try:
        descriptor = os.open(path / MARKER, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        _delete_half_made(path)
        return
    try:
        mine = os.fstat(descriptor).st_uid == os.getuid()
        if mine and _lock_at(descriptor, path / MARKER):
            _delete(path)
    finally:
        os.close(descriptor)


def _delete_half_made(path: Path) -> None:
    """Delete a folder whose maker died before it could mark it: it is still empty."""
    found = path.lstat()
    old = time.time() - found.st_mtime > _HALF_MADE_AFTER_S
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and old:
        path.rmdir()


def _delete(path: Path) -> None:
    """Delete a folder, its marker last, so that who is killed half-way leaves a marked one."""
    import shutil  # noqa: PLC0415 - a keeper that starts does without

    for pid_file in path.glob("*/data/postmaster.pid"):
        _free_shared_memory(pid_file)
    for entry in path.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != MARKER:
            entry.unlink()
    (path / MARKER).unlink()
    path.rmdir()


def _free_shared_memory(pid_file: Path) -> None:
    """Free what outlives a PostgreSQL that was killed: a segment that its pid file still names.

    The key comes from the data directory, so where it leads to the same segment, that is its own.
    """
    if named := re.search(r"^ *(\d+) +(\d+)$", pid_file.read_text(), re.MULTILINE):
        key, segment = (ctypes.c_int(int(number)) for number in named.groups())
        libc = ctypes.CDLL(None)
        if libc.shmget(key, 0, 0) == segment.value:
            libc.shmctl(segment, _IPC_RMID, None)


def copy_tree(source: str, target: str) -> None:
    """Copy a folder of folders and files with their modes, and as root with their owners.

    A cluster has a thousand small files; `cp -a` takes twice as long for them. Raises `OSError`
    where a file is anything else, or does not fit.
    """
    Path(target).mkdir(0o700)
    with os.scandir(source) as entries:
        for entry in entries:
            copy = copy_tree if entry.is_dir(follow_symlinks=False) else _copy_file
            copy(entry.path, f"{target}/{entry.name}")
    with _opened(target, os.O_RDONLY | os.O_DIRECTORY) as copied:
        _give(copied, os.lstat(source))


def _give(copy: int, like: os.stat_result) -> None:
    """Give a copy the mode of its original; and the owner, who for others than root is they."""
    if os.geteuid() == 0:
        os.fchown(copy, like.st_uid, like.st_gid)
    os.fchmod(copy, stat.S_IMODE(like.st_mode))


def _copy_file(source: str, target: str) -> None:
    with _opened(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK) as original:
        found = os.fstat(original)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "neither a file nor a folder", source)
        with _opened(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as copy:
            _give(copy, found)
            while data := os.read(original, _CHUNK_BYTES):
                write_all(copy, data)


@contextlib.contextmanager
def _opened(path: str, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of it, which takes several times where a pipe or a disk is nearly full."""
    while data:
        data = data[os.write(descriptor, data) :]
