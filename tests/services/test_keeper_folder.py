"""A keeper's folder is its own while it lives, and then nobody's; a copy is as its original."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from labkit.services.keeper import keep
from labkit.services.keeper_folder import FOLDER_PREFIX, MARKER, _sweep, copy_tree
from tests.services.owners import eventually, owner, same_imports

OTHER_USER = 65534
DIES = """
import asyncio, json, os, signal
from labkit.services import keeper
async def main():
    start = keeper._start
    def started(*arguments):
        process, folder = start(*arguments)
        (folder / "early").mkdir()
        print(json.dumps(str(folder)), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    keeper._start = started
    async with keeper.keep():
        pass
asyncio.run(main())
"""
COPIES = f"""
import os, sys
from labkit.services.keeper_folder import copy_tree
if os.getuid() == 0:
    os.setgroups([])
    os.setgid({OTHER_USER})
    os.setuid({OTHER_USER})
copy_tree(sys.argv[1] + "/original", sys.argv[1] + "/copy")
"""


def test_only_what_bears_our_marker_is_swept(tmp_path: Path) -> None:
    """A sweep deletes marked folders whose lock is free, and old empty ones: nothing else."""
    names = ("left", "unmarked", "empty", "fresh")
    left, unmarked, empty, fresh = (tmp_path / f"{FOLDER_PREFIX}{name}" for name in names)
    for folder in (left, unmarked, empty, fresh):
        folder.mkdir()
    (left / MARKER).touch()
    (left / "data").mkdir()
    (left / "data/file").touch()
    (left / "link").symlink_to(unmarked)
    (unmarked / "file").touch()
    for folder in (unmarked, empty):
        os.utime(folder, (time.time() - 3600,) * 2)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / MARKER).touch()

    _sweep(tmp_path)

    assert {path.name for path in tmp_path.iterdir()} == {unmarked.name, fresh.name, "other"}
    assert (unmarked / "file").exists()


def test_a_living_keepers_folder_is_not_swept() -> None:
    """The folder of a keeper that lives is locked, so that a sweep leaves it alone."""

    async def scenario() -> None:
        async with keep() as keeper:
            _sweep(keeper.folder.parent)
            assert (keeper.folder / MARKER).exists()

    asyncio.run(scenario())


def things_in(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """All that lies in a folder: its mode with its kind, its owner, and what a file holds."""
    found = {}
    for path in (folder, *folder.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(folder))] = (status.st_mode, status.st_uid, content)
    return found


def test_a_copy_has_the_owners_modes_and_contents_of_its_original(tmp_path: Path) -> None:
    """Folders in folders, an empty file, a large one, one that only its owner may read."""
    original = tmp_path / "original"
    (original / "deep" / "empty").mkdir(parents=True)
    original.chmod(0o700)
    (original / "nothing").touch()
    (original / "deep" / "large").write_bytes(os.urandom(3_000_001))
    (original / "deep" / "program").touch(0o700)
    secret = original / "deep" / "secret"
    secret.write_text("hidden")
    secret.chmod(0o400)
    if os.getuid() == 0:
        os.chown(secret, OTHER_USER, OTHER_USER)

    copy_tree(str(original), str(tmp_path / "copy"))

    assert things_in(tmp_path / "copy") == things_in(original)
    assert stat.S_IMODE((tmp_path / "copy").stat().st_mode) == 0o700


def test_who_is_not_root_copies_files_of_a_group_that_is_not_theirs() -> None:
    """So are those below a folder that hands its group on, as all of macOS's are."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "original").mkdir()
        (folder / "original" / "file").write_text("content")
        if os.getuid() == 0:
            for path in (folder, folder / "original", folder / "original" / "file"):
                os.chown(path, OTHER_USER, 0)
        subprocess.run([sys.executable, "-c", COPIES, name], env=same_imports(), check=True)
        assert (folder / "copy" / "file").read_text() == "content"


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("/"), os.mkfifo])
def test_what_is_neither_file_nor_folder_is_refused(
    make: Callable[[Path], None], tmp_path: Path
) -> None:
    """A cluster has no such thing; nobody waits for who might write into a pipe."""
    (tmp_path / "original").mkdir()
    make(tmp_path / "original" / "odd")
    with pytest.raises(OSError, match="odd"):
        copy_tree(str(tmp_path / "original"), str(tmp_path / "copy"))


def test_no_copy_writes_over_anything(tmp_path: Path) -> None:
    """What stands in its place is somebody's."""
    (tmp_path / "original").mkdir()
    (tmp_path / "copy").mkdir()
    with pytest.raises(FileExistsError):
        copy_tree(str(tmp_path / "original"), str(tmp_path / "copy"))


def test_what_stands_in_a_folder_before_its_keeper_is_up_is_deleted_with_it() -> None:
    """The lock is the keeper's from the beginning, so nobody else deletes the folder either."""

    async def scenario() -> Path:
        async with keep(ahead=True) as keeper:
            (keeper.folder / "early").mkdir()
            _sweep(keeper.folder.parent)
            assert (keeper.folder / "early").exists()
        return keeper.folder

    assert not asyncio.run(scenario()).exists()


def test_an_owner_that_dies_before_its_keeper_is_up_leaves_no_folder() -> None:
    """Killed with SIGKILL before it gave an order."""
    with owner(DIES) as (process, folder):
        assert process.wait(60) == -signal.SIGKILL
        assert eventually(lambda: not Path(folder).exists())
