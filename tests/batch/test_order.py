"""The order in which notebooks are begun, which is not that in which they are told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from labkit.batch.order import in_turn
from labkit.batch.plan import Plan
from labkit.journal import NotebookStarted, read_journal
from labkit.reports.past import Past
from labkit.reports.read import JOURNAL
from labkit.services.endpoints import Services
from tests.batch.runs import notebook, passing, planned, run_planned, variables

QUICK, SLOW = Past(1.0, is_red=False), Past(9.0, is_red=False)
RED = Past(0.5, is_red=True)


def plan_of(root: Path, *names: str) -> Plan:
    """A plan of notebooks that pass."""
    return planned(*(notebook(root / f"{name}.ipynb", passing("holds")) for name in names))


@pytest.mark.parametrize(
    ("past", "longest_first", "failed_first", "turns"),
    [
        ({}, True, True, "a b c"),
        ({"a": QUICK, "b": QUICK, "c": SLOW}, True, False, "c a b"),
        ({"a": SLOW, "b": QUICK}, True, False, "c a b"),
        ({"a": QUICK, "b": SLOW, "c": RED}, True, True, "c b a"),
        ({"a": QUICK, "b": SLOW, "c": RED}, False, True, "c a b"),
        ({"a": QUICK, "b": SLOW, "c": RED}, True, False, "b a c"),
    ],
)
def test_turns(
    past: Mapping[str, Past], longest_first: bool, failed_first: bool, turns: str, tmp_path: Path
) -> None:
    """Red before green, long before short, a new one as if it were long; else the plan's order."""
    jobs = plan_of(tmp_path, "a", "b", "c").jobs
    known = {job.written: past[job.name] for job in jobs if job.name in past}
    told = in_turn(jobs, known, longest_first=longest_first, failed_first=failed_first)
    assert " ".join(told) == turns


def test_notebooks_are_begun_in_turn_and_told_in_the_order_of_the_plan(
    tmp_path: Path, services: Services
) -> None:
    """The journal tells who began first; its plan and the results know nothing of that."""
    plan = replace(plan_of(tmp_path, "short", "long"), turns=("long", "short"))
    ran = run_planned(tmp_path, plan, environment=variables(services))
    entries = list(read_journal(ran.folder / JOURNAL))
    begun = [entry.notebook for entry in entries if isinstance(entry, NotebookStarted)]
    assert begun == ["long", "short"]
    assert [one.name for one in ran.result.notebooks] == ["short", "long"]
