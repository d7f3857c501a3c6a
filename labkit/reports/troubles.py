"""What is red in a run, worst first: what a reader must see before all else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from labkit.records import Expectation, Outcome
from labkit.reports.results import CheckResult, NotebookResult, Problem, RunResult

_WORST_FIRST: Final = (Outcome.BROKEN, Outcome.FAILED, Outcome.UNKNOWN)


@dataclass(frozen=True)
class Trouble:
    """One thing that is not green: a check, a notebook or the run itself."""

    outcome: Outcome
    notebook: str
    """The notebook's name; empty when it is about the run."""
    check: str
    """The check's name; empty when it is about the notebook or the run as a whole."""
    claim: str
    reason: str
    detail: str
    first: Expectation | None = None
    """The first expectation that did not hold."""
    failing: int = 0
    compared: int = 0


def troubles(run: RunResult) -> tuple[Trouble, ...]:
    """All that is not green: of the run, then broken, failed and unknown, each in run order."""
    found = [
        *(_of_problem("", problem) for problem in run.problems),
        *(trouble for notebook in run.notebooks for trouble in _of_notebook(notebook)),
    ]
    return tuple(sorted(found, key=_rank))


def _rank(trouble: Trouble) -> tuple[bool, int]:
    return (trouble.notebook != "", _WORST_FIRST.index(trouble.outcome))


def _of_notebook(notebook: NotebookResult) -> list[Trouble]:
    checks = [check for check in notebook.checks if check.outcome in _WORST_FIRST]
    return [
        *(_of_problem(notebook.name, problem) for problem in notebook.problems),
        *(_of_check(notebook.name, check) for check in checks),
    ]


def _of_problem(notebook: str, problem: Problem) -> Trouble:
    return Trouble(problem.outcome, notebook, "", "", problem.reason, problem.detail)


def _of_check(notebook: str, check: CheckResult) -> Trouble:
    failing = check.failing
    return Trouble(
        outcome=check.outcome,
        notebook=notebook,
        check=check.name,
        claim=check.claim,
        reason=check.reason,
        detail=check.detail,
        first=failing[0] if failing else None,
        failing=len(failing),
        compared=len(check.expectations),
    )
