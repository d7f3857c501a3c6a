"""The private folder of one keeper: marked and locked while it lives, and swept when it is dead.

Its owner makes it, and the keeper inherits the lock: what the owner puts there while the keeper is
still starting is the keeper's to delete, whatever becomes of the owner.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import re
import stat
import time
from collections.abc import Sequence
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


class Folder:
    """A private folder that is locked by an open descriptor."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self.lock = lock

    def delete(self) -> None:
        """Delete the folder with all in it, then let go of the lock."""
        _delete(self.path)
        os.close(self.lock)


def make_folder(bases: Sequence[Path], account: Account | None) -> Folder:
    """A folder in the first of the `bases`; what dead keepers left in any of them is deleted.

    Raises `OSError` where it cannot be made.
    """
    for base in bases:
        _sweep(base)
    while not (made := _made_in(bases[0])):
        continue
    if account is not None:
        os.chown(made.path, *account)
    return made


def _made_in(base: Path) -> Folder | None:
    """A new folder with its marker locked; None when a sweeper took it in between."""
    path = base / f"{FOLDER_PREFIX}{os.urandom(4).hex()}"
    path.mkdir(mode=0o700)
    lock = os.open(path / MARKER, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    if _lock_at(lock, path / MARKER):
        return Folder(path, lock)
    os.close(lock)
    return None


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
