"""A stage times whole commands, and believes no notebook that was not executed."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.stage import own_seconds, stage
from labkit.errors import InfrastructureError

ENVIRONMENT = dict(os.environ)


def test_it_is_a_project_of_copies_that_goes_with_the_block(green: Path) -> None:
    """The notebook itself is never written to; the parameters are the notebook's own."""
    with stage([green], ENVIRONMENT) as place:
        [copy] = place.notebooks
        copy.write_text("overwritten")
        assert (place.root / "params" / "test.yaml").read_text() == "environment: test\n"
        assert list(place.outputs.iterdir()) == []
    assert "asyncio" in green.read_text()
    assert not place.root.exists()


def test_a_command_is_started_there_with_its_environment() -> None:
    """It works in the stage's folder, and what it writes can be read."""
    with stage([], {**ENVIRONMENT, "SIZE": "3"}) as place:
        asyncio.run(place.seconds_of("sh", "-c", "pwd; echo $SIZE"))
        assert place.log.splitlines() == [str(place.root), "3"]


def test_a_command_that_fails_has_no_time() -> None:
    """The error tells its status, and what it wrote."""
    with stage([], ENVIRONMENT) as place, pytest.raises(InfrastructureError, match=r"status 3: no"):
        asyncio.run(place.seconds_of("sh", "-c", "echo no; exit 3"))


def test_a_command_ends_with_who_waits_for_it() -> None:
    """One that is cancelled leaves no process of its group, which would hold the pipe open."""

    async def main() -> None:
        with stage([], ENVIRONMENT) as place:
            os.mkfifo(place.root / "pipe")
            waiting = ("sh", "-c", "exec 3>pipe; echo began >&3; sleep 30")
            task = asyncio.create_task(place.seconds_of(*waiting))
            with await asyncio.to_thread((place.root / "pipe").open) as pipe:
                assert await asyncio.to_thread(pipe.readline) == "began\n"
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert await asyncio.wait_for(asyncio.to_thread(pipe.read), 10) == ""

    asyncio.run(main())


def _executed(notebook: Path, output: Path) -> Path:
    command = [sys.executable, "-m", "papermill", str(notebook), str(output)]
    subprocess.run(command, check=False, capture_output=True, timeout=120)
    return output


def test_the_cells_own_time_is_papermills(green: Path, tmp_path: Path) -> None:
    """The sum of all cells, or of those that begin so."""
    output = _executed(green, tmp_path / "out.ipynb")
    imports, waits = own_seconds(output, begins="import"), own_seconds(output, begins="await")
    assert own_seconds(output) == imports + waits > 0


def test_a_notebook_that_was_not_executed_is_refused(
    green: Path, red: Path, tmp_path: Path
) -> None:
    """Neither one without counts, nor one that ended at an error, is a fast result."""
    with pytest.raises(InfrastructureError, match=r"numbered \[None, None\]"):
        own_seconds(green)
    with pytest.raises(InfrastructureError, match=r"numbered \[1, 2, None\].*ValueError"):
        own_seconds(_executed(red, tmp_path / "out.ipynb"))
