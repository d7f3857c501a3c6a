"""Several notebooks at the same time: really beside each other, told in order, ended together."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from labkit.journal import CheckBegan, CheckEnded, Ending, read_journal
from labkit.reports.read import JOURNAL
from labkit.services.endpoints import Services
from tests.batch.runs import (
    AWAITS,
    DEADLINE_S,
    HOLDS,
    SPOILS,
    Ran,
    check,
    has_written,
    notebook,
    outcomes,
    passing,
    reported,
    run,
    things_on,
    variables,
)
from tests.services.owners import eventually

MEETS: Final = """
import asyncio
from pathlib import Path
Path("{me}").touch()
async with asyncio.timeout(20):
    while not Path("{other}").exists():
        await asyncio.sleep(0.01)
check.equal(1, 1, "one", reason="not-one")"""


def meeting(root: Path) -> list[Path]:
    """Two notebooks, each with a check that ends when the other's has begun."""
    pairs = (("left", "right"), ("right", "left"))
    cells = {me: check("meets", MEETS.format(me=me, other=other)) for me, other in pairs}
    return [notebook(root / f"{me}.ipynb", cell) for me, cell in cells.items()]


def entries(ran: Ran) -> list[tuple[str, str]]:
    """Kind and notebook of what the journal tells of checks."""
    told = read_journal(ran.folder / JOURNAL)
    kinds = (CheckBegan, CheckEnded)
    return [(type(one).__name__, one.notebook) for one in told if isinstance(one, kinds)]


def test_two_workers_execute_two_notebooks_at_the_same_time(
    tmp_path: Path, own_services: Services
) -> None:
    """Each waits for the other and passes; the report has the plan's order, nothing is left."""
    before = things_on(own_services)
    books = [*meeting(tmp_path), notebook(tmp_path / "after.ipynb", passing("holds"))]
    ran = run(tmp_path, *books, environment=variables(own_services), workers=2)
    assert [one.name for one in ran.result.notebooks] == ["left", "right", "after"]
    assert [outcomes(one) for one in ran.result.notebooks] == [
        {"meets": "passed"},
        {"meets": "passed"},
        {"holds": "passed"},
    ]
    assert things_on(own_services) <= before


def test_one_worker_executes_one_notebook_after_the_other(
    tmp_path: Path, services: Services
) -> None:
    """A check's end stands right behind its begin."""
    books = [notebook(tmp_path / f"{name}.ipynb", passing("holds")) for name in ("one", "two")]
    ran = run(tmp_path, *books, environment=variables(services))
    begin_end = ["CheckBegan", "CheckEnded"]
    assert entries(ran) == [(kind, name) for name in ("one", "two") for kind in begin_end]


def waiting(root: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """A run with two workers, of two notebooks that wait and one that has no turn."""
    books = [
        *(notebook(root / f"{name}.ipynb", check("waits", AWAITS)) for name in ("one", "two")),
        notebook(root / "three.ipynb", passing("holds")),
    ]
    argv = [sys.executable, "-m", "tests.batch.driver", str(root), "2", "", *map(str, books)]
    return subprocess.Popen(argv, env=dict(environment), cwd=root)


def test_a_signal_ends_all_that_run_in_order(tmp_path: Path, own_services: Services) -> None:
    """Exit code 4; both were interrupted, the third never started, no lease is left."""
    before = things_on(own_services)
    with waiting(tmp_path, variables(own_services)) as process:
        try:
            assert eventually(lambda: has_written(tmp_path, "check-began", '"one"'))
            assert eventually(lambda: has_written(tmp_path, "check-began", '"two"'))
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE_S) == 4
        finally:
            process.kill()
    cancelled = Ending.CANCELLED
    ran = reported(tmp_path)
    assert [one.ending for one in ran.result.notebooks] == [
        cancelled,
        cancelled,
        Ending.NEVER_STARTED,
    ]
    assert {outcomes(ran.notebook(name))["waits"] for name in ("one", "two")} == {
        "broken interrupted"
    }
    assert things_on(own_services) <= before


def test_an_unforeseen_error_ends_the_others_in_order(
    tmp_path: Path, own_services: Services
) -> None:
    """It is raised as it is, once the notebook beside it was interrupted and reported."""
    before = things_on(own_services)
    books = [
        notebook(tmp_path / "waits.ipynb", check("waits", AWAITS)),
        notebook(tmp_path / "spoils.ipynb", check("spoils", f"{SPOILS}\n{HOLDS}")),
    ]
    told = None
    try:
        run(tmp_path, *books, environment=variables(own_services), workers=2)
    except IsADirectoryError as error:
        told = error
    assert told is not None
    assert reported(tmp_path).notebook("waits").ending is Ending.CANCELLED
    assert things_on(own_services) <= before
