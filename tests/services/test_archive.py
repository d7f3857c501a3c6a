"""What is unpacked is as what was packed, or is refused."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from labkit.services.archive import pack, unpack
from tests.services.owners import same_imports

OTHER_USER = 65534
PACKS = f"""
import os, sys
from pathlib import Path
from labkit.services.archive import pack, unpack
if os.getuid() == 0:
    os.setgroups([])
    os.setgid({OTHER_USER})
    os.setuid({OTHER_USER})
folder = Path(sys.argv[1])
list(pack(folder / "original", folder / "archive.tar"))
list(unpack(folder / "archive.tar", folder / "copies"))
"""


def copied(original: Path) -> Path:
    """The copy of a folder, through an archive that lies beside it."""
    archive = original.with_suffix(".tar")
    copies = original.with_suffix(".copies")
    copies.mkdir()
    list(pack(original, archive))
    list(unpack(archive, copies))
    return copies / original.name


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
    (original / "deep" / ("long" * 50)).write_text("a name of more than a hundred bytes")
    secret = original / "deep" / "secret"
    secret.write_text("hidden")
    secret.chmod(0o400)
    if os.getuid() == 0:
        os.chown(secret, OTHER_USER, OTHER_USER)
        os.chown(original, OTHER_USER, OTHER_USER)

    copy = copied(original)

    assert things_in(copy) == things_in(original)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o700


def test_modes_are_kept_whatever_the_callers_mask_is(tmp_path: Path) -> None:
    """What a careful user's shell takes from new files is not taken from these."""
    (tmp_path / "original").mkdir(mode=0o755)
    (tmp_path / "original" / "open").touch(0o644)
    list(pack(tmp_path / "original", tmp_path / "archive.tar"))
    (tmp_path / "copies").mkdir()
    mask = os.umask(0o277)
    try:
        list(unpack(tmp_path / "archive.tar", tmp_path / "copies"))
    finally:
        os.umask(mask)
    assert things_in(tmp_path / "copies" / "original") == things_in(tmp_path / "original")


def test_an_archive_is_its_owners_alone(tmp_path: Path) -> None:
    """The folder may be, which its archive does not show."""
    (tmp_path / "original").mkdir()
    list(pack(tmp_path / "original", tmp_path / "archive.tar"))
    assert stat.S_IMODE((tmp_path / "archive.tar").stat().st_mode) == 0o600


def test_who_is_not_root_copies_files_of_a_group_that_is_not_theirs() -> None:
    """So are those below a folder that hands its group on, as all of macOS's are."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "original").mkdir()
        (folder / "copies").mkdir()
        (folder / "original" / "file").write_text("content")
        if os.getuid() == 0:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, OTHER_USER, 0)
        subprocess.run([sys.executable, "-c", PACKS, name], env=same_imports(), check=True)
        assert (folder / "copies" / "original" / "file").read_text() == "content"


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("/"), os.mkfifo])
def test_what_is_neither_file_nor_folder_is_refused(
    make: Callable[[Path], None], tmp_path: Path
) -> None:
    """A cluster has no such thing; nobody waits for who might write into a pipe."""
    (tmp_path / "original").mkdir()
    make(tmp_path / "original" / "odd")
    with pytest.raises(OSError, match="odd"):
        list(pack(tmp_path / "original", tmp_path / "archive.tar"))
    with tarfile.open(tmp_path / "other.tar", "w") as archive:
        archive.add(tmp_path / "original" / "odd", "odd")
    with pytest.raises(OSError, match="odd"):
        list(unpack(tmp_path / "other.tar", tmp_path))


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch])
def test_nothing_is_written_over(make: Callable[[Path], None], tmp_path: Path) -> None:
    """What stands in its place is somebody's."""
    make(tmp_path / "original")
    with tarfile.open(tmp_path / "archive.tar", "w") as archive:
        archive.add(tmp_path / "original", "original")
    with pytest.raises(FileExistsError):
        list(unpack(tmp_path / "archive.tar", tmp_path))


@pytest.mark.parametrize("last", ["1", "2", "3", "4"])
def test_what_shall_come_last_comes_last_on_both_ways(last: str, tmp_path: Path) -> None:
    """That folder alone, and not another of its name, nor one whose name begins as its own."""
    original = tmp_path / "original"
    for name in (last, f"deep/{last}", f"{last}0", f"{last}1", f"{last}2"):
        (original / name).mkdir(parents=True)
        (original / name / "file").touch()
    packed = list(pack(original, tmp_path / "archive.tar", last=[f"original/{last}"]))
    (tmp_path / "copies").mkdir()
    assert list(unpack(tmp_path / "archive.tar", tmp_path / "copies")) == packed
    assert packed[-2:] == [f"original/{last}", f"original/{last}/file"]
    assert len(packed) == 12


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("filled", [False, True])
def test_an_archive_that_was_cut_off_is_told(share: float, filled: bool, tmp_path: Path) -> None:
    """Also where what follows is zeros, which a file system may show after a crash."""
    (tmp_path / "original").mkdir()
    for number in range(10):
        (tmp_path / "original" / str(number)).write_bytes(b"content" * 1000)
    archive = tmp_path / "archive.tar"
    list(pack(tmp_path / "original", archive))
    whole = archive.read_bytes()
    kept = whole[: int(len(whole) * share)]
    archive.write_bytes(kept.ljust(len(whole), b"\0") if filled else kept)
    (tmp_path / "copies").mkdir()
    with pytest.raises(OSError, match=r"archive\.tar"):
        list(unpack(archive, tmp_path / "copies"))
