"""How a proof is told at the end: each exception in a sentence, and the verdict."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.text import Text

from labkit.commands.console import near
from labkit.prove.matrix import Matrix
from labkit.prove.pages import totals, verdict
from labkit.reports.results import RunResult
from labkit.reports.texts import one_line


def tell_proof(result: RunResult, matrix: Matrix, folder: Path, out: Console) -> None:
    """What does not hold, a line each, and the verdict with the way to the matrix."""
    for problem in result.problems:
        out.print(Text(f"✗ {one_line(problem.detail, 500)}", style="bold red"), soft_wrap=True)
    for flaw in matrix.flaws:
        out.print(Text.assemble(("✗ ", "red"), one_line(flaw.sentence, 500)), soft_wrap=True)
    passes = matrix.passes and not result.problems
    style = "bold green" if passes else "bold red"
    page = near(folder / "proof.html")
    told = verdict(matrix) if passes or matrix.flaws else "the proof did not come to its end"
    out.print(Text.assemble((told, style), f" · {totals(result, matrix)} · {page}"), soft_wrap=True)
