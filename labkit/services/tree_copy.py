"""A copy of a folder in as few calls as it takes."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final

_CHUNK_BYTES: Final = 1 << 16
_PRIVATE_FILE: Final = 0o600
_PRIVATE_FOLDER: Final = 0o700


def copy_tree(source: str, target: str, without: AbstractSet[str] = frozenset()) -> None:
    """Copy a folder of folders and files with their modes, and as root with their owners.

    Folders whose paths are in `without` are left out. A cluster has a thousand small files, and
    each call for each of them counts: `cp -a` takes twice as long. Raises `OSError` where a file is
    anything else, or does not fit.
    """
    is_root = os.geteuid() == 0
    Path(target).mkdir(_PRIVATE_FOLDER)
    with os.scandir(source) as entries:
        for entry in entries:
            if entry.path in without:
                continue
            if entry.is_dir(follow_symlinks=False):
                copy_tree(entry.path, f"{target}/{entry.name}", without)
            elif entry.is_file(follow_symlinks=False):
                _copy_file(entry, f"{target}/{entry.name}", is_root)
            else:
                raise OSError(errno.EINVAL, "neither a file nor a folder", entry.path)
    copied = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _give(copied, os.lstat(source), is_root, made=_PRIVATE_FOLDER)
    finally:
        os.close(copied)


def _give(copy: int, like: os.stat_result, is_root: bool, *, made: int) -> None:
    """Give a copy its original's mode, if made with another, and owner: without root, oneself."""
    if is_root:
        os.fchown(copy, like.st_uid, like.st_gid)
    if (mode := stat.S_IMODE(like.st_mode)) != made:
        os.fchmod(copy, mode)


def _copy_file(entry: os.DirEntry[str], target: str, is_root: bool) -> None:
    found = entry.stat(follow_symlinks=False)
    original = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        copy = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _PRIVATE_FILE)
        try:
            _give(copy, found, is_root, made=_PRIVATE_FILE)
            _copy_content(original, copy, found.st_size)
        finally:
            os.close(copy)
    finally:
        os.close(original)


def _copy_content(original: int, copy: int, size_bytes: int) -> None:
    while size_bytes > 0:
        data = os.read(original, min(size_bytes, _CHUNK_BYTES))
        if not data:
            raise OSError(errno.EIO, "a file became shorter while it was copied")
        size_bytes -= len(data)
        while data:  # it takes several times where a disk is nearly full
            data = data[os.write(copy, data) :]
