"""A copy is as its original, or is refused."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from labkit.services.tree_copy import copy_tree
from tests.services.owners import same_imports

OTHER_USER = 65534
COPIES = f"""
import os, sys
from labkit.services.tree_copy import copy_tree
if os.getuid() == 0:
    os.setgroups([])
    os.setgid({OTHER_USER})
    os.setuid({OTHER_USER})
copy_tree(sys.argv[1] + "/original", sys.argv[1] + "/copy")
"""


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


def test_what_is_to_be_left_out_is_left_out(tmp_path: Path) -> None:
    """That folder alone, and not another of its name."""
    original = tmp_path / "original"
    (original / "1").mkdir(parents=True)
    (original / "deep" / "1").mkdir(parents=True)
    copy_tree(str(original), str(tmp_path / "copy"), {str(original / "1")})
    assert set(things_in(tmp_path / "copy")) == {".", "deep", "deep/1"}
