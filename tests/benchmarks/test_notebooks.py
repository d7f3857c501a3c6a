"""The fixed notebooks: each the same work, without any of the lab's own."""

import ast
import json
from pathlib import Path
from typing import Any, Final

import pytest

from tests.test_house import notebook_imports

FOLDER: Final = Path(__file__).parent.parent.parent / "benchmarks" / "notebooks"
NOTEBOOKS: Final = sorted(FOLDER.glob("*.ipynb"))


def _cells(notebook: Path) -> list[dict[str, Any]]:
    cells: list[dict[str, Any]] = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return cells


def test_there_are_seven() -> None:
    """As many as the lab has of its own."""
    assert len(NOTEBOOKS) == len(list((FOLDER.parent.parent / "notebooks").glob("*.ipynb"))) == 7


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_one_has_ten_cells_of_code_and_is_clean(notebook: Path) -> None:
    """Committed without outputs and counts."""
    cells = _cells(notebook)
    assert [cell["cell_type"] for cell in cells] == ["code"] * 10
    assert [cell for cell in cells if cell["outputs"] or cell["execution_count"]] == []


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_one_imports_waits_and_draws(notebook: Path) -> None:
    """The drivers and matplotlib, some awaits, one plot; nothing of labkit."""
    roots = {name.partition(".")[0] for name in notebook_imports(notebook)}
    assert roots == {"asyncio", "json", "asyncpg", "matplotlib", "redis", "websockets"}
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    source = "\n".join("".join(cell["source"]) for cell in _cells(notebook))
    nodes = list(ast.walk(compile(source, str(notebook), "exec", flags)))
    assert sum(isinstance(node, ast.Await) for node in nodes) >= 3
    assert source.count("plt.show()") == 1
