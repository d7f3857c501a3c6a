"""Real notebooks, run by the real batch: each way to end has its own outcome and reason."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import nbformat
import pytest
from nbformat import NotebookNode

from labkit.journal import Ending
from labkit.services.endpoints import Services
from labkit.services.urls import PostgresUrl
from tests.batch.runs import (
    HOLDS,
    OPEN,
    PARAMETERS,
    SECRET,
    Ran,
    check,
    failing,
    never,
    outcomes,
    passing,
    problems,
    run,
    things_on,
    variables,
)
from tests.notebook_files import code, write
from tests.services.owners import is_running

LEAKED_CONNECTION: Final = f"""
import asyncpg
left = await asyncpg.connect(lab.lease.owner_url.reveal())
{HOLDS}"""
DIES_IN_THE_BACKGROUND: Final = f"""
import asyncio
async def die():
    raise OSError("in the background")
task = asyncio.create_task(die())
await asyncio.wait({{task}})
{HOLDS}"""
RESISTS: Final = """
import time
while True:
    try:
        time.sleep(60)
    except BaseException:
        pass"""
TELLS_SECRETS: Final = """
import base64, os
from IPython.display import HTML
secret = os.environ["SOME_SECRET"]
print(secret)
print(secret[:6], end="", flush=True)
print(secret[6:])
print(lab.lease.owner_url.reveal())
open("leased", "w").write(lab.lease.owner_url.reveal())
encoded = base64.b64encode(secret.encode()).decode()
display(HTML(f"<b>{secret}</b>"))
display({"image/png": encoded, "text/plain": ""}, raw=True)"""
EXPECTS_A_SECRET: Final = """
check.equal(secret, "nothing", f"the label {secret}", reason="told")
check.note(secret)
raise ValueError(secret)"""
LEAVES_A_PROCESS: Final = """
import os, subprocess
with open(f"/proc/{os.getppid()}/cmdline") as maker, open("maker", "w") as file:
    file.write(maker.read())
with open("left", "w") as file:
    file.write(str(subprocess.Popen(["sleep", "300"]).pid))"""

FORKS: Final = """
import os
if (child := os.fork()) == 0:
    os._exit(7)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
check.equal(status, 7, "the status of the fork", reason="other-status")"""


@dataclass(frozen=True)
class Book:
    """A notebook's cells between opening and closing its lab, and how it must end."""

    ending: Ending
    cells: Sequence[NotebookNode]
    outcomes: Mapping[str, str]
    problems: Sequence[str] = ()
    before: Sequence[NotebookNode] = ()
    """Cells ahead of the one that opens the lab."""
    after: Sequence[NotebookNode] = (code("await lab.close()"), code(""))
    """Cells at the end; an editor leaves an empty one there."""

    def write(self, path: Path) -> Path:
        """The notebook as a file."""
        return write(path, PARAMETERS, *self.before, OPEN, *self.cells, *self.after)


BOOKS: Final[Mapping[str, Book]] = {
    "red": Book(
        Ending.REACHED_THE_END,
        [
            failing("fails"),
            check("compares_nothing", "pass"),
            check("raises", "1 / 0"),
            check("leaves_an_error", DIES_IN_THE_BACKGROUND),
            check("leaves_a_task", f"task = asyncio.create_task(asyncio.sleep(300))\n{HOLDS}"),
            check("leaves_a_connection", LEAKED_CONNECTION),
            check("awaits", "await asyncio.sleep(300)", deadline_s=0.2),
            check("blocks", "import time\ntime.sleep(300)", deadline_s=0.2),
            check("tells", f"{TELLS_SECRETS}\n{EXPECTS_A_SECRET}"),
            code("1 / 0", "skip-execution"),
            code("raise ValueError(secret)", "raises-exception"),
            check("is_left_out", HOLDS, tags=("skip-execution",)),
            passing("goes_on"),
        ],
        {
            "fails": "failed not-two",
            "compares_nothing": "broken vacuous",
            "raises": "broken exception",
            "leaves_an_error": "broken background-error",
            "leaves_a_task": "broken leaked-task",
            "leaves_a_connection": "broken leaked-connection",
            "awaits": "broken deadline",
            "blocks": "broken deadline",
            "tells": "broken exception",
            "is_left_out": "unknown never-ran",
            "goes_on": "passed",
        },
    ),
    "odd {place} é": Book(
        Ending.REACHED_THE_END,
        [
            passing("goes_on"),
            code(LEAVES_A_PROCESS),
            code("for line in range(100_000): print(line)"),
            code('print("x" * 5_000_000)'),
            code("for number in range(300): display(number)"),
            code('display({"image/png": None, "text/plain": "odd"}, raw=True)'),
        ],
        {"goes_on": "passed"},
    ),
    "forking": Book(
        Ending.REACHED_THE_END,
        [check("forks", FORKS), passing("after")],
        {"forks": "passed", "after": "passed"},
    ),
    "resisting": Book(
        Ending.CHECK_KILLED,
        [passing("before"), check("resists", RESISTS, deadline_s=0.2), passing("after")],
        {"before": "passed", "resists": "broken deadline", **never("after")},
    ),
    "killed": Book(
        Ending.KERNEL_DIED,
        [passing("before"), check("dies", "import os\nos.kill(os.getpid(), 9)"), passing("after")],
        {"before": "passed", "dies": "broken kernel-died", **never("after")},
    ),
    "killed_between": Book(
        Ending.KERNEL_DIED,
        [passing("before"), code("import os\nos.kill(os.getpid(), 9)"), passing("after")],
        {"before": "passed", **never("after")},
        ["broken kernel-died"],
    ),
    "os_exit": Book(
        Ending.KERNEL_DIED,
        [check("dies", "import os\nos._exit(0)"), passing("after")],
        {"dies": "broken kernel-died", **never("after")},
    ),
    "segfault": Book(
        Ending.KERNEL_DIED,
        [check("dies", "import ctypes\nctypes.string_at(0)"), passing("after")],
        {"dies": "broken kernel-died", **never("after")},
    ),
    "sys_exit": Book(
        Ending.STOPPED_EARLY,
        [passing("before"), code("import sys\nsys.exit(0)"), passing("after")],
        {"before": "passed", **never("after")},
        ["broken stopped-early"],
    ),
    "exit": Book(
        Ending.STOPPED_EARLY,
        [passing("before"), code("exit()"), passing("after")],
        {"before": "passed", **never("after")},
        ["broken stopped-early"],
    ),
    "importing": Book(
        Ending.IMPORT_ERROR,
        [passing("after")],
        never("after"),
        ["broken import-error"],
        before=[code("import nowhere_to_be_found")],
    ),
    "raising": Book(
        Ending.CELL_ERROR,
        [passing("before"), code("1 / 0"), passing("after")],
        {"before": "passed", **never("after")},
        ["broken cell-error"],
    ),
    "unclosed": Book(
        Ending.REACHED_THE_END,
        [passing("holds")],
        {"holds": "passed"},
        ["broken not-closed"],
        after=[],
    ),
}


@pytest.fixture(scope="module")
def place(cold: bool, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the notebooks run."""
    return tmp_path_factory.mktemp("cold" if cold else "warm")


@pytest.fixture(scope="module")
def ran(cold: bool, place: Path, own_services: Services, before: frozenset[str]) -> Iterator[Ran]:
    """One run of all these notebooks."""
    paths = [book.write(place / f"{name}.ipynb") for name, book in BOOKS.items()]
    environment = variables(own_services, SOME_SECRET=SECRET)
    yield run(place, *paths, environment=environment, cold=cold)
    assert things_on(own_services) <= before


@pytest.mark.parametrize("name", BOOKS)
def test_each_way_to_end_is_told_apart(name: str, ran: Ran) -> None:
    """Ending, outcomes and reasons are those of what happened, also in `results.json`."""
    book = BOOKS[name]
    result = ran.result.notebooks[list(BOOKS).index(name)]
    assert result.ending == book.ending, result.detail
    assert outcomes(result) == book.outcomes
    assert problems(result) == list(book.problems)
    told = json.loads((ran.folder / "results.json").read_text())
    [written] = [one for one in told["notebooks"] if one["name"] == result.name]
    assert written["ending"] == book.ending
    assert {one["name"]: one["outcome"] for one in written["checks"]} == {
        check_name: outcome.split()[0] for check_name, outcome in book.outcomes.items()
    }


def test_a_run_with_anything_red_exits_with_1(ran: Ran) -> None:
    """The exit code stands in the result and in its file, and no infrastructure is blamed."""
    assert ran.result.exit_code == 1
    assert json.loads((ran.folder / "results.json").read_text())["exit_code"] == 1
    assert ran.result.problems == ()
    assert ran.result.notes == ()


def test_a_secret_that_a_cell_shows_is_masked_in_every_file(ran: Ran, place: Path) -> None:
    """Printed in pieces, raised, expected, in HTML and in a picture; the lease's URL as well."""
    leased = (place / "leased").read_text()
    password = PostgresUrl.parse(leased).password
    assert password
    for value in (SECRET, base64.b64encode(SECRET.encode()).decode(), leased, password):
        assert ran.files_with(value) == []
    [told] = [one for one in ran.result.checks if one.name == "tells"]
    assert told.expectations[0].label == "the label ***"
    assert told.notes == ("***",)
    assert "ValueError: ***" in told.detail
    assert printed(ran.folder / "red.ipynb").startswith("***\n***\n***\n")


def outputs_of(path: Path) -> list[NotebookNode]:
    """The outputs of all cells."""
    cells = nbformat.read(path, as_version=4).cells
    return [output for cell in cells for output in cell.get("outputs", [])]


def printed(path: Path) -> str:
    """All that a notebook's cells have printed."""
    return "".join(output.text for output in outputs_of(path) if output.get("name") == "stdout")


def displayed(path: Path) -> list[str]:
    """The texts of all displays."""
    return [output.data.get("text/plain") for output in outputs_of(path) if "data" in output]


def test_kernels_come_from_where_they_should(ran: Ran, place: Path, cold: bool) -> None:
    """A warm one was forked from the warm process, a cold one was started by the run."""
    assert ran.result.run
    assert ("labkit.warm.process" in (place / "maker").read_text()) is not cold


def test_what_a_notebook_leaves_running_ends_with_it(ran: Ran, place: Path) -> None:
    """A process that a cell started is gone with its kernel."""
    assert ran.result.run
    assert not is_running(int((place / "left").read_text()))


def test_a_flood_of_outputs_arrives_whole(ran: Ran) -> None:
    """Every line and display is in the notebook; what no notebook can hold is told."""
    path = ran.folder / "odd__place___.ipynb"
    lines = printed(path).splitlines()
    assert lines[:100_000] == [str(number) for number in range(100_000)]
    assert lines[100_000] == "x" * 5_000_000
    assert set(map(str, range(300))) <= set(displayed(path))
    assert "left out an output" in path.read_text()
