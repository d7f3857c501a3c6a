"""A run that goes on where it was ended early."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from labkit.batch.plan import Plan
from labkit.batch.resumption import held_journal, resumed
from labkit.batch.selection import select
from labkit.errors import UsageError
from labkit.journal import (
    Ending,
    Entry,
    NotebookStarted,
    ProofStarted,
    RunStarted,
    SecretFound,
    entry_to_line,
    read_journal,
)
from labkit.reports.read import JOURNAL
from labkit.services.endpoints import Services
from tests.batch.runs import (
    Ran,
    failing,
    notebook,
    outcomes,
    passing,
    planned,
    run_planned,
    variables,
)


def plan_of(root: Path, size: int = 1) -> Plan:
    """The plan of a notebook that is red and one that is green."""
    books = [root / "red.ipynb", root / "rest.ipynb"]
    if not books[0].exists():
        notebook(books[0], failing("fails"))
        notebook(books[1], passing("holds"), passing("lasts"))
    return planned(*books, texts=(("size", str(size)),))


@pytest.fixture
def stopped(tmp_path: Path, services: Services) -> Ran:
    """A run that stopped at its first, red notebook."""
    plan = plan_of(tmp_path)
    ran = run_planned(tmp_path, plan, environment=variables(services), fail_fast=True)
    assert ran.notebook("rest").ending is Ending.DESELECTED
    return ran


def test_what_has_no_result_is_executed_and_the_whole_is_told(
    stopped: Ran, tmp_path: Path, services: Services
) -> None:
    """The red one is not tried again and stays red; the report says what was done when."""
    plan = resumed(plan_of(tmp_path), stopped.folder)
    ran = run_planned(tmp_path, plan, environment=variables(services))
    assert ran.folder == stopped.folder
    assert outcomes(ran.notebook("red")) == {"fails": "failed not-two"}
    assert outcomes(ran.notebook("rest")) == {"holds": "passed", "lasts": "passed"}
    assert ran.result.exit_code == 1
    [note] = ran.result.notes
    assert re.match(r"the run was ended early and resumed on 20.* UTC, to execute rest$", note)
    entries = read_journal(ran.folder / JOURNAL)
    begun = [entry.notebook for entry in entries if isinstance(entry, NotebookStarted)]
    assert begun == ["red", "rest"]
    with pytest.raises(UsageError, match="has a result of each notebook; nothing is left to do"):
        resumed(plan_of(tmp_path), ran.folder)


def test_what_another_did_meanwhile_is_not_done_again(
    stopped: Ran, tmp_path: Path, services: Services
) -> None:
    """What is left is decided by who holds the journal, and not before."""
    early = resumed(plan_of(tmp_path), stopped.folder)
    run_planned(tmp_path, early, environment=variables(services))
    with pytest.raises(UsageError, match="has a result of each notebook; nothing is left to do"):
        run_planned(tmp_path, early, environment=variables(services))


def test_a_changed_notebook_is_refused(stopped: Ran, tmp_path: Path) -> None:
    """Results of different code would not be those of one run, whichever notebook it is."""
    told = "the code, parameters or selected checks of red are others now .it was asked for with no"
    notebook(tmp_path / "red.ipynb", passing("fails"))
    with pytest.raises(UsageError, match=told):
        resumed(plan_of(tmp_path), stopped.folder)


def test_another_plan_is_refused(stopped: Ran, tmp_path: Path) -> None:
    """Other parameters, other checks, other notebooks: each is told."""
    plan = plan_of(tmp_path)
    others: Mapping[str, Plan] = {
        "selected checks of red, rest are others now": plan_of(tmp_path, size=2),
        "selected checks of rest are others now ": select(plan, "fails or lasts"),
        "it was asked for red, rest, and now for red;": replace(plan, jobs=plan.jobs[:1]),
    }
    for told, other in others.items():
        with pytest.raises(UsageError, match=told):
            resumed(other, stopped.folder)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (ProofStarted(1.0, (), (), is_whole=True), "it is a proof"),
        (SecretFound(1.0, "red.ipynb", "cell 1"), "a secret was found in it"),
    ],
)
def test_what_is_over_for_good_is_refused(
    entry: Entry, told: str, stopped: Ran, tmp_path: Path
) -> None:
    """A proof is done as a whole, and after a secret nothing is added."""
    with (stopped.folder / JOURNAL).open("a", encoding="utf-8") as file:
        file.write(entry_to_line(entry) + "\n")
    with pytest.raises(UsageError, match=f"{stopped.folder.name} cannot go on: {told}"):
        resumed(plan_of(tmp_path), stopped.folder)


def test_the_work_of_another_labkit_is_refused(stopped: Ran, tmp_path: Path) -> None:
    """Its results may mean something else; neither is a folder taken for another run's."""
    journal = stopped.folder / JOURNAL
    first, *rest = read_journal(journal)
    assert isinstance(first, RunStarted)
    entries = [replace(first, labkit="0.0.9"), *rest]
    journal.write_text("".join(entry_to_line(entry) + "\n" for entry in entries))
    with pytest.raises(UsageError, match=r"it was made by labkit 0\.0\.9, and this is"):
        resumed(plan_of(tmp_path), stopped.folder)
    renamed = stopped.folder.rename(tmp_path / "mine")
    with pytest.raises(UsageError, match="mine cannot go on: its folder was renamed from run_"):
        resumed(plan_of(tmp_path), renamed)


def test_a_journal_is_held_by_one_alone(tmp_path: Path) -> None:
    """Who comes second is told; who comes after the first has ended appends to whole lines."""
    with held_journal(tmp_path) as file:
        file.write("whole\nhal")
        file.flush()
        with (
            pytest.raises(UsageError, match="still goes on; end it, or wait"),
            held_journal(tmp_path),
        ):
            pass
    with held_journal(tmp_path) as file:
        file.write("next\n")
    assert (tmp_path / JOURNAL).read_text() == "whole\nnext\n"
