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
    page = near(folder / "proof.html")
    for flaw in matrix.flaws:
        out.print(Text.assemble(("✗ ", "red"), one_line(flaw.sentence, 500)), soft_wrap=True)
    line = Text(verdict(matrix), style="bold green" if matrix.passes else "bold red")
    out.print(line.append(f" · {totals(result, matrix)} · {page}", style="default"), soft_wrap=True)
