"""A warm process starts beside other work, and ends with its owner, however that ends."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Final

import pytest

from labkit.warm.owner import warming_up
from tests.services.owners import eventually, is_running, none_runs, owner, same_imports
from tests.warm.stage import STAYS_WITH_ANOTHER, WAITS, forked, warmed

OWNS: Final = """
import asyncio
from tests.warm.stage import WAITS, forked, warmed
async def own():
    async with warmed() as warm, forked(warm.door, WAITS) as fork:
        fork.line()
        print([warm.pid, fork.process.pid], flush=True)
        await asyncio.Event().wait()
asyncio.run(own())
"""


def test_a_warm_process_ends_with_its_block() -> None:
    """With it go its forks, and what they started."""

    async def left() -> list[int]:
        async with warmed() as warm:
            async with forked(warm.door, STAYS_WITH_ANOTHER) as fork:
                pids = [warm.pid, fork.process.pid, int(fork.line())]
                assert all(map(is_running, pids))
                await asyncio.sleep(0)
            return pids

    pids = asyncio.run(left())
    assert eventually(lambda: none_runs(pids))


def test_a_fork_in_use_ends_with_the_block_of_the_warm_process() -> None:
    """Who asked for it still holds it, and is told."""

    async def left() -> tuple[int, int]:
        async with warmed() as warm:
            holding = forked(warm.door, WAITS)
            fork = await holding.__aenter__()
            assert fork.line() == "waits"
        status = await fork.process.wait()
        await holding.__aexit__(None, None, None)
        return fork.process.pid, status

    pid, status = asyncio.run(left())
    assert status == -9
    assert not is_running(pid)


def test_a_warm_process_ends_with_an_owner_that_is_killed() -> None:
    """After `kill -9` it is gone, and its forks are."""
    with owner(OWNS) as (process, pids):
        assert all(map(is_running, pids))
        process.kill()
        assert eventually(lambda: none_runs(pids))


def test_one_that_does_not_start_is_logged_with_what_it_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """There is no door then, and no error: kernels start cold."""
    (tmp_path / "matplotlib.py").write_text(
        "import os\nraise ImportError('spoiled by ' + os.environ['MY_API_TOKEN'])"
    )

    async def door() -> Path | None:
        secret = {"PYTHONPATH": str(tmp_path), "MY_API_TOKEN": "sesame-opens-8841"}
        environment = {**same_imports(), **secret}
        with warming_up(environment=environment, working_folder=tmp_path) as warm:
            assert warm is not None
            warm._running.wait(60)
            warm.listen_in(tmp_path)
            return await warm.door()

    with caplog.at_level(logging.WARNING):
        assert asyncio.run(door()) is None
    assert "there are only cold kernels: the warm process did not start" in caplog.text
    assert "ImportError: spoiled by ***" in caplog.text


def test_one_that_nobody_waits_for_is_ended_while_it_warms_up(tmp_path: Path) -> None:
    """A block that is left at once leaves no process, told where to listen or not."""

    async def told() -> int:
        with warming_up(environment=same_imports(), working_folder=tmp_path) as warm:
            assert warm is not None
            warm.listen_in(tmp_path)
            await asyncio.sleep(0)
            return warm._running.pid

    with warming_up(environment=same_imports(), working_folder=tmp_path) as untold:
        assert untold is not None
        assert asyncio.run(untold.door()) is None
    assert not is_running(untold._running.pid)
    assert not is_running(asyncio.run(told()))
