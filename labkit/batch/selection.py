"""Which checks of a plan are executed (`-k`), and how the others are left out.

The unit is the cell: that of a deselected check is not sent to the kernel, and all other cells are.
What checks share is therefore set up in cells of its own. Checks in one cell go together.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Final

import nbformat

from labkit.batch.expression import Matches, parse_expression
from labkit.batch.plan import Job, Plan
from labkit.errors import UsageError

_NOT_SENT: Final = "skip-execution"
"""nbclient's own tag for a cell that a kernel never gets; it stays in the executed notebook."""


def select(plan: Plan, expression: str) -> Plan:
    """The plan with those checks alone for whose name or notebook's name the expression holds.

    Raises `UsageError` where it is no expression or holds for no check.
    """
    matches = parse_expression(expression)
    jobs = tuple(replace(job, deselected=_deselected(job, matches)) for job in plan.jobs)
    if all(job.is_deselected for job in jobs):
        raise UsageError(
            f"-k {expression!r:.120} selects no check of the notebooks of this run;"
            " labkit list shows their names"
        )
    return replace(plan, jobs=jobs)


def _deselected(job: Job, matches: Matches) -> frozenset[str]:
    chosen = {one.cell for one in job.checks if matches((one.name, job.notebook.name))}
    return frozenset(check.name for check in job.checks if check.cell not in chosen)


def source_of(job: Job, folder: Path) -> Path:
    """The notebook to execute: its own file, or a copy in `folder` that sends only some cells."""
    cells = {check.cell for check in job.checks if check.name in job.deselected}
    if not cells:
        return job.source
    path = folder / "selected.ipynb"
    _leave_out(job.source, cells, path)
    return path


def _leave_out(source: Path, cells: Collection[int], path: Path) -> None:
    notebook = nbformat.read(source, as_version=4)
    for number in cells:
        metadata = notebook.cells[number].metadata
        metadata.tags = [*metadata.get("tags", []), _NOT_SENT]
    nbformat.write(notebook, path)
