"""How `labkit run` goes about it: in which order, how far, and which checks."""

from __future__ import annotations

import json
import os
import select
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from labkit.journal import NotebookStarted, read_journal
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
    assert ended.stdout.splitlines()[-1].startswith("1 check failed: it_fails · ")
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
    """A line for each check, the least steady first, before the verdict on all of them."""
    project = write_project(tmp_path / "p", calm=PASSING, wild=FAILING)
    ended = labkit("run", "--repeat", "2", folder=project, environment=given)
    assert ended.returncode == 1, ended.stderr
    wild, calm, verdict = ended.stdout.splitlines()[-3:]
    assert wild == "wild / it_fails: 0 of 2 green, flake rate 100.0 % (95 %: 34.2 to 100.0 %)"
    assert calm == "calm / it_holds: 2 of 2 green, flake rate 0.0 % (95 %: 0.0 to 65.8 %)"
    assert verdict.startswith("2 failed of 4 checks · ")
    assert sorted(begun(project)) == ["calm", "calm-2", "wild", "wild-2"]


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
    assert ", and the services answered after " in services
    assert covered.startswith("coverage: ")
    found = results(project)
    assert found["options"] == "--profile --coverage"
    assert set(found["notebooks"][0]["spent_s"]) == {
        *("lease", "kernel", "cells", "saving", "kernel's end")
    }
    of_module = {one["module"]: one for one in found["coverage"]}
    store = of_module["labkit.reference.store"]
    assert 0 < store["missed"] < store["statements"]
    page = (project / "outputs/latest/index.html").read_text(encoding="utf-8")
    assert "Where the time went" in page
    assert "Coverage of the target" in page
