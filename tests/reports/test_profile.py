"""Where the time of a run went is told to who asked, and adds up."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from labkit.journal import NotebookStarted, Phase, RunResumed, Spent
from labkit.reports.html import Pages
from labkit.reports.profile import PHASES, profiles
from labkit.reports.read import read_run
from labkit.reports.results import RunResult
from labkit.reports.results_json import results_json
from tests.reports.pages import Page
from tests.reports.runs import AT, RunFolder, check_cell


def run_of(root: Path, options: str, *spent: Spent) -> RunResult:
    """A run of one notebook that took ten seconds, of which these are accounted for."""
    run = read_run(RunFolder(root, cells=[check_cell("rollback")]).write())
    (book,) = run.notebooks
    return replace(run, options=options, notebooks=(replace(book, seconds=10.0, spent=spent),))


def test_phases_and_the_rest_are_the_whole(tmp_path: Path) -> None:
    """A phase that was never come to took no time."""
    run = run_of(tmp_path, "--fail-fast --profile", Spent(Phase.LEASE, 1.5), Spent(Phase.CELLS, 8))
    [profile] = profiles(run)
    assert dict(zip(PHASES, profile.spent_s, strict=True)) == {
        Phase.LEASE: 1.5,
        Phase.KERNEL: 0.0,
        Phase.CELLS: 8,
        Phase.SAVING: 0.0,
        Phase.END: 0.0,
    }
    assert profile.rest_s == pytest.approx(0.5)
    assert profile.whole_s == 10.0


def test_nobody_who_did_not_ask_is_told(tmp_path: Path) -> None:
    """Pages are silent then; machines find the seconds all the same."""
    run = run_of(tmp_path, "", Spent(Phase.CELLS, 8.25))
    assert profiles(run) == ()
    assert "Where the time went" not in Page(Pages(run).index()).text
    [book] = json.loads(results_json(run))["notebooks"]
    assert book["spent_s"] == {"cells": 8.25}


def test_the_page_shows_each_phase(tmp_path: Path) -> None:
    """One row for each notebook, and when the services answered."""
    run = run_of(tmp_path, "--profile", Spent(Phase.KERNEL, 0.25), Spent(Phase.CELLS, 9))
    page = Page(Pages(replace(run, services_s=0.5, begun_s=0.7)).index())
    [book] = run.notebooks
    assert [book.name, "0.00", "0.25", "9.00", "0.00", "0.00", "0.75", "10.00"] in page.rows
    assert page.rows[-2][-2:] == ["other", "total"]
    assert "Seconds of each notebook" in page.text
    assert "The run itself took 4.0 s. The services answered after 500 ms" in page.text
    assert "answered after 500 ms, and the first notebook began after 700 ms." in page.text
    labels = [cell.attributes.get("data-label") for cell in page.all("td")]
    assert labels[-8:] == ["time", *PHASES, "other", "total"]


def test_what_began_after_a_pause_is_not_told(tmp_path: Path) -> None:
    """A run that went on the next day would seem to have prepared all night."""
    begun, paused = NotebookStarted(AT + 2, "database"), RunResumed(AT + 1, ("database",))
    at_once = read_run(RunFolder(tmp_path / "at-once", entries=(begun, paused)).write())
    assert (at_once.services_s, at_once.begun_s) == (0.5, 2.0)
    later = read_run(RunFolder(tmp_path / "later", entries=(paused, begun)).write())
    assert (later.services_s, later.begun_s) == (0.5, None)


def test_notebooks_that_never_ran_have_no_profile(tmp_path: Path) -> None:
    """A row of zeros would tell nothing."""
    run = run_of(tmp_path, "--profile", Spent(Phase.CELLS, 9))
    left_out = replace(run.notebooks[0], name="left_out", seconds=0.0, spent=())
    [profile] = profiles(replace(run, notebooks=(*run.notebooks, left_out)))
    assert profile.name == "database"
