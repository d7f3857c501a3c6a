"""A keeper's folder is its own from the beginning to its end, and nobody's afterwards."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

from labkit.services.keeper import keep
from labkit.services.keeper_folder import FOLDER_PREFIX, MARKER, _sweep
from tests.services.owners import eventually, owner

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
