"""Where on this machine the lab keeps things: a cache that stays, scratch folders that do not."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_ROOM_BYTES: Final = 256 * 1024 * 1024
"""What a memory file system must have free for a data directory to go there."""

_LONGEST_BASE_BYTES: Final = 65
"""A socket's path may have 103 bytes on macOS, of which the folder and the file take about 35."""


def default_cache(environment: Mapping[str, str]) -> Path:
    """The folder for what may be made again at any time: initialised clusters, shared services.

    `LABKIT_CACHE_DIR`, else `labkit` in `XDG_CACHE_HOME`, else in `.cache` of the home folder.
    """
    if given := environment.get("LABKIT_CACHE_DIR"):
        return Path(given).expanduser().absolute()
    if base := environment.get("XDG_CACHE_HOME"):
        return Path(base).absolute() / "labkit"
    home = environment.get("HOME") or Path("~").expanduser()
    return Path(home) / ".cache" / "labkit"


def scratch_folders(*, executable: bool) -> Sequence[Path]:
    """Where private folders are made, the best place first: memory where there is room for data.

    `executable` leaves out places whose programs the system refuses to run.
    """
    memory, temporary = Path("/dev/shm"), Path(tempfile.gettempdir())  # noqa: S108 - only its name
    if len(os.fsencode(temporary)) > _LONGEST_BASE_BYTES:
        temporary = Path("/tmp")  # noqa: S108 - the folder made there is private and random
    if _has_room(memory) and not (executable and _forbids_programs(memory)):
        return (memory, temporary)
    return (temporary, memory) if memory.is_dir() else (temporary,)


def _has_room(folder: Path) -> bool:
    usable = folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
    return usable and shutil.disk_usage(folder).free >= _ROOM_BYTES


def _forbids_programs(folder: Path) -> bool:
    return bool(os.statvfs(folder).f_flag & os.ST_NOEXEC)
