"""A folder as one file: a file system makes a large one in the time of a few small ones.

A cluster has a thousand small files, which a disk that is busy makes in half a second.
"""

from __future__ import annotations

import errno
import os
import stat
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

_END: Final = "end"
"""The last member of an archive; one that was cut off at any place does not have it."""
_PRIVATE_FILE: Final = 0o600
_PRIVATE_FOLDER: Final = 0o700


def pack(folder: Path, archive: Path, *, last: Sequence[str] = ()) -> Iterator[str]:
    """Write a folder into a tar file, telling the names of what comes next, one after another.

    The names begin with the folder's own; what lies in the folders named by `last` comes last. The
    file is its owner's alone, since a folder may be. Raises `OSError` where something is neither a
    file nor a folder, or does not fit.
    """
    parent = str(folder.parent)
    late = tuple(f"{name}/" for name in last)
    names = sorted(_names(parent, folder.name), key=lambda name: f"{name}/".startswith(late))
    archive.touch(_PRIVATE_FILE, exist_ok=False)
    with tarfile.open(archive, "w") as tar:
        for name in names:
            yield name
            _add(tar, name, f"{parent}/{name}")
        tar.addfile(tarfile.TarInfo(_END))


def _names(parent: str, folder: str) -> Iterator[str]:
    """A folder's name and those of all that lies in it."""
    yield folder
    with os.scandir(f"{parent}/{folder}") as entries:
        for entry in entries:
            name = f"{folder}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield from _names(parent, name)
            else:
                yield name


def _add(tar: tarfile.TarFile, name: str, path: str) -> None:
    found = os.lstat(path)
    member = tarfile.TarInfo(name)
    member.mode, member.uid, member.gid = stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid
    if stat.S_ISDIR(found.st_mode):
        member.type = tarfile.DIRTYPE
        tar.addfile(member)
    elif stat.S_ISREG(found.st_mode):
        member.size = found.st_size
        with Path(path).open("rb", buffering=0) as file:
            tar.addfile(member, file)
    else:
        raise OSError(errno.EINVAL, "neither a file nor a folder", path)


def unpack(archive: Path, parent: Path) -> Iterator[str]:
    """Make the folder that was packed in another, telling what comes next, one after another.

    All is as it was, as root with the owners. Raises `OSError` where the archive is damaged, what
    it holds does not fit, or something stands in its place.
    """
    is_root = os.geteuid() == 0
    try:
        with archive.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                if member.name == _END:
                    return
                yield member.name
                _make(member, f"{parent}/{member.name}", file.fileno(), is_root)
    except tarfile.TarError as error:
        raise OSError(errno.EIO, str(error), str(archive)) from error
    raise OSError(errno.EIO, "it has no end", str(archive))


def _make(member: tarfile.TarInfo, path: str, archive: int, is_root: bool) -> None:
    """Make what a member was; nobody else can look into it before it has its owner and mode."""
    if member.isdir():
        Path(path).mkdir(_PRIVATE_FOLDER)
        made = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    elif member.isreg():
        made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE_FILE)
    else:
        raise OSError(errno.EINVAL, "neither a file nor a folder", path)
    try:
        if is_root:
            os.fchown(made, member.uid, member.gid)
        os.fchmod(made, member.mode)
        if member.size:
            _write(made, os.pread(archive, member.size, member.offset_data))
    finally:
        os.close(made)


def _write(file: int, data: bytes) -> None:
    while data:  # it takes several times where a disk is nearly full
        data = data[os.write(file, data) :]
