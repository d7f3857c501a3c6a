"""Runs the code of notebooks as a plain script would: in one process, and without a kernel.

    python benchmarks/plain_script.py NOTEBOOK…

The cells run from top to bottom, with their awaits, and one notebook after the other. The last line
tells how many cells each of them ran, as JSON.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def code_cells(notebook: Path) -> list[str]:
    """The sources of the notebook's code cells, from top to bottom."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


async def run_cells(notebook: Path) -> int:
    """Run the notebook's code cells; how many ran. What a cell raises comes through."""
    sources = code_cells(notebook)
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, source in enumerate(sources, start=1):
        where = f"{notebook.name}, code cell {number}"
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        cell = compile(source, where, "exec", flags=flags, dont_inherit=True)
        result = eval(cell, names)  # noqa: S307 - the notebook's own code is what is to be run
        if inspect.isawaitable(result):
            await result
    return len(sources)


async def main(notebooks: Sequence[str]) -> None:
    """Run all of them."""
    counts = {Path(notebook).name: await run_cells(Path(notebook)) for notebook in notebooks}
    print(json.dumps(counts))  # noqa: T201 - the answer of this program


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
