"""How `labkit run` goes about it: in which order, how far, and which checks."""

from __future__ import annotations

import json
import os
import select
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from labkit.commands.figures import steady_lines
from labkit.journal import Ending, Entry, NotebookStarted, SecretFound, read_journal
from labkit.reports.read import read_run
from labkit.services.endpoints import Services
from tests.command_line import (
    COMMAND,
    DEADLINE_S,
    FAILING,
    PASSING,
    labkit,
    labkit_here,
    variables,
    write_project,
)
from tests.reports.runs import AT, RunFolder, check_cell


@pytest.fixture
def given(tmp_path: Path, services: Services) -> Mapping[str, str]:
    """Variables with which the command uses the servers of the tests."""
    return variables(
        tmp_path / "cache",
        LABKIT_POSTGRES_URL=services.postgres.url.reveal(),
        LABKIT_REDIS_URL=services.redis.url.reveal(),
    )


def results(project: Path) -> dict[str, Any]:
    """What the last run says for machines."""
    found: dict[str, Any] = json.loads((project / "outputs/latest/results.json").read_bytes())
    return found


def begun(project: Path) -> list[str]:
    """The notebooks that the last run began, in that order."""
    entries = read_journal(project / "outputs/latest/journal.ndjson")
    return [entry.notebook for entry in entries if isinstance(entry, NotebookStarted)]


def test_fast_feedback_begins_with_what_was_red_and_stops_there(
    tmp_path: Path, given: Mapping[str, str]
) -> None:
    """Small sizes for the notebook that was red, and the others are not executed."""
    project = write_project(tmp_path / "p", calm=PASSING, wild=FAILING, zen=PASSING)
    (project / "params" / "fast.yaml").write_text("size: 1\n")
    workers = ("--workers", "1")
    assert labkit("run", *workers, folder=project, environment=given).returncode == 1
    assert begun(project) == ["calm", "wild", "zen"]
    fast = ("run", "--mode", "fast_feedback")
    ended = labkit(*fast, *workers, folder=project, environment=given)
    assert ended.returncode == 1, ended.stderr
    verdict, going_on = ended.stdout.splitlines()[-2:]
    assert verdict.startswith("1 check failed: it_fails · ")
    run = (project / "outputs/latest").resolve().name
    assert going_on.startswith(f"to go on: labkit run --resume {run} (")
    assert begun(project) == ["wild"]
    outcomes = {one["name"]: one["outcome"] for one in results(project)["notebooks"]}
    assert outcomes == {"calm": "deselected", "wild": "failed", "zen": "deselected"}
    executed = (project / "outputs/latest/wild.ipynb").read_text(encoding="utf-8")
    assert "size = 1\\n" in executed


def test_the_checks_that_are_asked_for_are_run_and_the_others_are_not(
    tmp_path: Path, given: Mapping[str, str]
) -> None:
    """The verdict counts what was asked for, and the report tells the expression."""
    project = write_project(tmp_path / "p", calm=PASSING, wild=FAILING)
    ended = labkit("run", "-k", "holds and not wild", folder=project, environment=given)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("1 of 1 check passed, 1 deselected · ")
    assert results(project)["options"] == "-k 'holds and not wild'"
    page = (project / "outputs/latest/index.html").read_text(encoding="utf-8")
    assert "<dd>-k &#x27;holds and not wild&#x27;</dd>" in page


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("pool", "-k 'pool' selects no check of the"),
        ("holds and", "-k 'holds and' cannot be read"),
    ],
)
def test_a_selection_that_means_nothing_is_a_usage_error(
    expression: str, told: str, tmp_path: Path
) -> None:
    """It is refused before anything starts."""
    project = write_project(tmp_path / "p", calm=PASSING)
    ended = labkit_here("run", "-k", expression, folder=project)
    assert ended.exit_code == 2
    assert ended.stderr.startswith(f"Error: {told}")
    assert not (project / "outputs").exists()


def test_repetitions_tell_how_steady_each_check_is(
    tmp_path: Path, given: Mapping[str, str]
) -> None:
    """A line for each that was not always green, and one for all others, before the verdict."""
    project = write_project(tmp_path / "p", calm=PASSING, wild=FAILING)
    ended = labkit("run", "--repeat", "2", folder=project, environment=given)
    assert ended.returncode == 1, ended.stderr
    wild, calm, verdict = ended.stdout.splitlines()[-3:]
    assert wild == "wild / it_fails: 0 of 2 green, flake rate 100.0 % (95 %: 34.2 to 100.0 %)"
    assert calm == "1 other check was green 2 of 2 times, flake rate 0.0 % (95 %: 0.0 to 65.8 %)"
    assert verdict.startswith("2 failed of 4 checks · ")
    assert sorted(begun(project)) == ["calm", "calm-2", "wild", "wild-2"]


def reported(folder: RunFolder) -> list[str]:
    """The lines that tell of the run in a folder."""
    ended = labkit_here("report", str(folder.write()), folder=folder.path.parent)
    assert ended.exit_code == 0, ended.output
    return ended.stdout.splitlines()


def test_checks_that_were_always_green_have_one_line(tmp_path: Path) -> None:
    """Where all were, it is the only one."""
    cells = [check_cell("one"), check_cell("two")]
    run = read_run(RunFolder(tmp_path, checks=("one", "two"), cells=cells).write())
    books = tuple(replace(book, repeats="database") for book in run.notebooks * 3)
    [line] = steady_lines(replace(run, notebooks=books))
    assert line.startswith("each of 2 checks was green 3 of 3 times, flake rate 0.0 %")


def test_checks_that_were_not_come_to_have_one_line_for_each_notebook(tmp_path: Path) -> None:
    """Only one of many says what it is."""
    names = ("one", "two", "three")
    stopped = RunFolder(tmp_path / "many", checks=names, cells=[], ending=Ending.NEVER_STARTED)
    lines = [line for line in reported(stopped) if "never-ran" in line]
    assert lines == ["? unknown database (never-ran) the cells of 3 checks never ran"]
    alone = RunFolder(tmp_path / "one", cells=[], ending=Ending.NEVER_STARTED)
    [line] = [line for line in reported(alone) if "never-ran" in line]
    assert line.startswith("? unknown database / rollback (never-ran) declared in the notebook")


@pytest.mark.parametrize(
    ("ending", "entries", "goes_on"),
    [
        (Ending.NEVER_STARTED, (), True),
        (Ending.REACHED_THE_END, (), False),
        (Ending.NEVER_STARTED, (SecretFound(AT, "index.html", "line 3"),), False),
    ],
)
def test_a_run_that_can_go_on_says_how(
    ending: Ending, entries: tuple[Entry, ...], tmp_path: Path, *, goes_on: bool
) -> None:
    """In the last line; one in which a secret was found could not."""
    folder = RunFolder(tmp_path, cells=[check_cell("rollback")], ending=ending, entries=entries)
    told = reported(folder)[-1].startswith("to go on: labkit run --resume 20260305-140322 (")
    assert told is goes_on


def test_failed_first_leaves_nothing_out(tmp_path: Path, given: Mapping[str, str]) -> None:
    """What was red is begun first, and all the rest after it."""
    project = write_project(tmp_path / "p", calm=PASSING, wild=FAILING)
    for options in ((), ("--failed-first",)):
        ended = labkit("run", "--workers", "1", *options, folder=project, environment=given)
        assert ended.returncode == 1, ended.stderr
    assert begun(project) == ["wild", "calm"]


WAITS_ONCE = (
    'async with lab.check("it_waits", "It waits the first time") as check:\n'
    "    import asyncio, pathlib\n"
    '    if not pathlib.Path("again").exists():\n'
    '        open("began", "w").write("yes")\n'
    "        await asyncio.Event().wait()\n"
    '    check.equal(1, 1, "one", reason="not-one")'
)


def test_a_killed_run_is_resumed_in_its_folder(tmp_path: Path, given: Mapping[str, str]) -> None:
    """Not while it goes on; then what has no result is executed, and the report is whole."""
    project = write_project(tmp_path / "p", calm=PASSING, patient=WAITS_ONCE, zen=PASSING)
    os.mkfifo(project / "began")
    began = os.open(project / "began", os.O_RDONLY | os.O_NONBLOCK)
    run = ("run", "--workers", "1")
    with subprocess.Popen(
        [*COMMAND, *run], cwd=project, env=dict(given), stderr=subprocess.DEVNULL
    ) as running:
        assert select.select([began], [], [], DEADLINE_S)[0]
        [folder] = (project / "outputs").glob("run_*")
        early = labkit(*run, "--resume", folder.name, folder=project, environment=given)
        running.kill()
    os.close(began)
    assert early.returncode == 2
    assert early.stderr.startswith(f"Error: run {folder.name} still goes on"), early.stderr
    (project / "again").touch()
    resumed = labkit(*run, "--resume", folder.name, folder=project, environment=given)
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout == f"3 of 3 checks passed · outputs/{folder.name}/index.html\n"
    assert begun(project) == ["calm", "patient", "patient", "zen"]
    [note] = results(project)["notes"]
    assert note.endswith("to execute patient, zen")
    assert note in (folder / "index.html").read_text(encoding="utf-8")


def test_who_asks_is_told_where_the_time_went_and_what_was_covered(
    tmp_path: Path, given: Mapping[str, str]
) -> None:
    """Both stand on the terminal, on the page and in the results; kernels start cold for it."""
    project = write_project(tmp_path / "p", calm=PASSING)
    ended = labkit("run", "--profile", "--coverage", folder=project, environment=given)
    assert ended.returncode == 0, ended.stderr
    head, calm, services, covered, *_ = ended.stdout.splitlines()
    assert head.split()[:3] == ["notebook", "lease", "kernel"]
    assert head.split()[-2:] == ["other", "total"]
    assert calm.startswith("calm")
    assert services.startswith("seconds of each notebook; the run itself took ")
    assert ", the services answered after " in services
    assert ", and the first notebook began after " in services
    assert covered.startswith("coverage: ")
    found = results(project)
    assert found["options"] == "--profile --coverage"
    assert set(found["notebooks"][0]["spent_s"]) == {
        *("lease", "kernel", "cells", "saving", "kernel's end")
    }
    of_module = {one["module"]: one for one in found["coverage"]}
    store = of_module["labkit.reference.data.store"]
    assert 0 < store["missed"] < store["statements"]
    page = (project / "outputs/latest/index.html").read_text(encoding="utf-8")
    assert "Where the time went" in page
    assert "Coverage of the target" in page
