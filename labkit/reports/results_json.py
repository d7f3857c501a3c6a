"""`results.json`: the run for machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from labkit.journal import FileCoverage
from labkit.reports.repeats import steadiness_json
from labkit.reports.results import CheckResult, NotebookResult, Problem, RunResult


def results_json(run: RunResult) -> str:
    """The whole run as JSON, every expectation included.

    `proof` names the file with the verdict where the run is one; its trials' reds are wanted then,
    and `exit_code` counts them as in any run. `seed` and `target` are those of all notebooks, or
    null where the notebooks differ.
    """
    value = {
        "run_id": run.run,
        "exit_code": run.exit_code,
        "proof": None if run.proof is None else "proof.json",
        "outcome": run.outcome,
        "environment": run.environment,
        "options": run.options,
        "started_at": run.started_at,
        "seconds": run.seconds,
        "seed": _common([opened.seed for opened in run.opened]),
        "target": _common([opened.target for opened in run.opened]),
        "versions": {
            "labkit": run.labkit,
            "services": [asdict(service) for service in run.services],
            "libraries": libraries(run),
        },
        "problems": _problems(run.problems),
        "notes": run.notes,
        "repeats": steadiness_json(run),
        "services_s": run.services_s,
        "begun_s": run.begun_s,
        "coverage": run.coverage and [_covered_json(file) for file in run.coverage],
        "notebooks": [_notebook(notebook) for notebook in run.notebooks],
    }
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def libraries(run: RunResult) -> dict[str, str]:
    """The libraries' versions, by name; where notebooks differ, all of them."""
    met = sorted({pair for opened in run.opened for pair in opened.libraries})
    names = dict.fromkeys(name for name, _ in met)
    return {name: ", ".join(v for other, v in met if other == name) for name in names}


def _common(values: Sequence[object]) -> object:
    return values[0] if values and all(value == values[0] for value in values) else None


def _notebook(notebook: NotebookResult) -> dict[str, object]:
    opened = notebook.opened
    return {
        "name": notebook.name,
        "repeats": notebook.repeats or None,
        "title": notebook.title,
        "source": notebook.source,
        "outcome": notebook.outcome,
        "ending": notebook.ending,
        "detail": notebook.detail,
        "cell": notebook.cell,
        "seconds": notebook.seconds,
        "spent_s": {spent.phase: spent.seconds for spent in notebook.spent},
        "area": opened.area if opened else None,
        "seed": opened.seed if opened else None,
        "target": opened.target if opened else None,
        "problems": _problems(notebook.problems),
        "checks": [_check(check) for check in notebook.checks],
    }


def _check(check: CheckResult) -> dict[str, object]:
    return asdict(check)


def _covered_json(file: FileCoverage) -> dict[str, object]:
    return {"module": file.module, "statements": file.statements, "missed": file.missed}


def _problems(problems: Sequence[Problem]) -> list[dict[str, object]]:
    return [asdict(problem) for problem in problems]
