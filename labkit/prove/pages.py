"""A proof for people and machines: `proof.html` and `proof.json`, beside the pages of its trials.

Both are made from the run's folder alone, so that they can be made again at any time.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from labkit.prove.matrix import Cell, Mark, Matrix, Row, matrix_of
from labkit.reports.build import encoded
from labkit.reports.html import page_name, templates
from labkit.reports.results import RunResult
from labkit.reports.texts import counted
from labkit.sabotage import Sabotage

SIGNS: Final = {
    Mark.GREEN: "·",
    Mark.SKIPPED: "○",
    Mark.DOWNSTREAM: "~",
    Mark.CAUGHT: "✓",
    Mark.ALSO_RED: "!",
    Mark.WRONG_REASON: "≠",
    Mark.MISSED: "✗",
    Mark.UNKNOWN: "?",
}

_MEANINGS: Final = {
    Mark.CAUGHT: "the check failed for the reason that it must give",
    Mark.GREEN: "the check need not notice, and did not",
    Mark.SKIPPED: "the check need not notice, and looked at nothing",
    Mark.DOWNSTREAM: "the check is red, as it may be",
    Mark.MISSED: "the check had to notice, and passed",
    Mark.WRONG_REASON: "the check is red, but not for the reason that it must give",
    Mark.ALSO_RED: "the check is red, and the sabotage does not concern it",
    Mark.UNKNOWN: "the check tells nothing",
}


@dataclass(frozen=True)
class _Group:
    """Neighbouring rows or columns of one notebook or area."""

    name: str
    rows: tuple[Row, ...] = ()
    sabotages: tuple[Sabotage, ...] = ()


def proof_reports(run: RunResult) -> Iterator[tuple[str, bytes]]:
    """Names and contents of a proof's own reports; none for a run that is no proof."""
    if run.proof is not None:
        matrix = matrix_of(run.proof, run)
        yield "proof.json", encoded(proof_json(run, matrix))
        yield "proof.html", encoded(proof_html(run, matrix))


def verdict(matrix: Matrix) -> str:
    """The proof in one sentence."""
    if not matrix.is_complete:
        return "the proof did not come to its end"
    if not matrix.passes:
        return f"{counted(len(matrix.flaws), 'exception')}: this proves less than it has to"
    each = "" if len(matrix.sabotages) == 1 else "each "
    tried = counted(len(matrix.sabotages), "sabotage")
    told = f"{tried}, {each}caught by every check that must"
    return f"{told}; {_downstream(matrix)}{_unjudged(matrix)}"


def _downstream(matrix: Matrix) -> str:
    """What is red beside that."""
    match sum(cell.mark is Mark.DOWNSTREAM for cell in matrix.cells.values()):
        case 0:
            return "nothing else is red"
        case 1:
            return "once another check is red too, as it may be"
        case more:
            return f"{more:,} times another check is red too, as it may be"


def _unjudged(matrix: Matrix) -> str:
    """How many checks were only seen to be green, since nothing was tried that they must catch."""
    judged = {cell.row for cell in matrix.cells.values() if cell.expected}
    if len(judged) == len(matrix.rows):
        return ""
    left = counted(len(matrix.rows) - len(judged), "check")
    are = "is" if left.startswith("1 ") else "are"
    return f"; {left} that caught nothing in this proof {are} not judged"


def totals(run: RunResult, matrix: Matrix) -> str:
    """How much was tried, such as `23 checks, 51 sabotages, 56 trials, 56 catches`."""
    catches = sum(cell.mark is Mark.CAUGHT for cell in matrix.cells.values())
    counts = (
        counted(len(matrix.rows), "check"),
        counted(len(matrix.sabotages), "sabotage"),
        counted(len(run.notebooks), "trial"),
        f"{catches:,} {'catch' if catches == 1 else 'catches'}",
    )
    return ", ".join(counts)


def proof_json(run: RunResult, matrix: Matrix) -> str:
    """What was shown, when, by which versions; every cell with all its trials."""
    value = {
        "run_id": run.run,
        "passes": matrix.passes,
        "started_at": run.started_at,
        "seconds": run.seconds,
        "labkit": run.labkit,
        "services": [asdict(service) for service in run.services],
        "exceptions": [asdict(flaw) for flaw in matrix.flaws],
        "sabotages": [asdict(sabotage) for sabotage in matrix.sabotages],
        "cells": [_cell_json(cell) for cell in matrix.cells.values()],
    }
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def _cell_json(cell: Cell) -> dict[str, object]:
    return {
        "notebook": cell.row.notebook,
        "check": cell.row.check,
        "sabotage": cell.sabotage or None,
        "mark": cell.mark,
        "expected": cell.expected or None,
        "caught": cell.caught,
        "trials": [asdict(one) for one in cell.shown],
    }


def proof_html(run: RunResult, matrix: Matrix) -> str:
    """The matrix, what is an exception to it, and what each sabotage and check is about."""
    pages = {notebook.name: page_name(notebook) for notebook in run.notebooks}
    return (
        templates("labkit.prove")
        .get_template("proof.html")
        .render(
            run=run,
            matrix=matrix,
            told=verdict(matrix),
            totals=totals(run, matrix),
            areas=_areas(matrix.sabotages),
            notebooks=_notebooks(matrix.rows),
            pages=pages,
            signs=SIGNS,
            meanings={mark: text for mark, text in _MEANINGS.items() if _has(matrix, mark)},
        )
    )


def _has(matrix: Matrix, mark: Mark) -> bool:
    return any(cell.mark is mark for cell in matrix.cells.values())


def _areas(sabotages: Sequence[Sabotage]) -> list[_Group]:
    by_area = sorted(sabotages, key=lambda one: one.area)
    grouped = itertools.groupby(by_area, key=lambda one: one.area)
    return [_Group(area, sabotages=tuple(members)) for area, members in grouped]


def _notebooks(rows: Sequence[Row]) -> list[_Group]:
    grouped = itertools.groupby(rows, key=lambda row: row.notebook)
    return [_Group(name, rows=tuple(members)) for name, members in grouped]
