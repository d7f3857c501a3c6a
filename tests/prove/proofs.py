"""Proofs made by hand: sabotages, trials, and how their checks ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from labkit.journal import Ending, ProofStarted
from labkit.prove.matrix import Matrix, matrix_of
from labkit.records import Outcome
from labkit.reports.results import CheckResult, NotebookResult, Problem, RunResult
from labkit.sabotage import Catch, Sabotage, Trial

Ends = Mapping[str, tuple[Outcome, str]]
"""Outcome and reason of each check of a notebook."""

PASSED = (Outcome.PASSED, "")
LOST = (Outcome.FAILED, "lost")
CLEAN: Ends = {"keeps": PASSED, "counts": PASSED}


def sabotage(name: str, must: Mapping[str, str], may: Sequence[str] = ()) -> Sabotage:
    """A sabotage of the only area."""
    return Sabotage(
        name=name,
        area="memory",
        target=f"faulty:{name.title()}",
        fault=f"{name} is at fault.",
        promise="What was told is known.",
        stands_for="a lost write",
        must=tuple(Catch(check, reason) for check, reason in must.items()),
        may=tuple(may),
    )


FORGETS = sabotage("forgets", {"keeps": "lost"}, ["counts"])
MISCOUNTS = sabotage("miscounts", {"counts": "lost"})


def notebook(name: str, ends: Ends, *problems: Problem) -> NotebookResult:
    """A notebook whose checks ended like this."""
    checks = (
        CheckResult(check, f"the claim of {check}", outcome, reason, "")
        for check, (outcome, reason) in ends.items()
    )
    return NotebookResult(
        name=name,
        title="Memory",
        source="notebooks/memory.ipynb",
        ending=Ending.REACHED_THE_END,
        detail="",
        cell=None,
        seconds=1.0,
        opened=None,
        checks=tuple(checks),
        problems=problems,
        document=None,
    )


def proof(
    trials: Mapping[str, Sequence[Ends]],
    sabotages: Sequence[Sabotage] = (FORGETS, MISCOUNTS),
    *problems: Problem,
    is_whole: bool = True,
) -> RunResult:
    """A run of trials by their sabotages' names, an empty one for the clean platform."""
    planned, notebooks = [], []
    for name, all_ends in trials.items():
        for number, ends in enumerate(all_ends, start=1):
            trial = Trial(f"memory--{name}--{number}", "memory", name)
            planned.append(trial)
            notebooks.append(notebook(trial.name, ends, *problems))
    return RunResult(
        run="run_1",
        labkit="0.1.0",
        environment="test",
        started_at=1_772_719_402.0,
        seconds=60.0,
        exit_code=1,
        services=(),
        notebooks=tuple(notebooks),
        problems=(),
        notes=(),
        secrets=(),
        proof=ProofStarted(1.0, tuple(sabotages), tuple(planned), is_whole),
    )


def matrix(run: RunResult) -> Matrix:
    """The matrix of a proof."""
    assert run.proof is not None
    return matrix_of(run.proof, run)
