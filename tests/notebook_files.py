"""Writes notebooks for tests as real files, by nbformat."""

from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

CHECK = 'async with lab.check("it_holds", "What is claimed") as check:\n    check.true(True, "yes")'


def code(source: str, *tags: str) -> NotebookNode:
    """A code cell with tags."""
    return cell(new_code_cell(source), *tags)


def markdown(source: str, *tags: str) -> NotebookNode:
    """A Markdown cell with tags."""
    return cell(new_markdown_cell(source), *tags)


def cell(made: NotebookNode, *tags: str) -> NotebookNode:
    """The cell with tags."""
    made.metadata.tags = list(tags)
    return made


def write(path: Path, *cells: NotebookNode) -> Path:
    """A notebook for Python with these cells, written to `path`."""
    kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
    notebook = new_notebook(cells=list(cells), metadata={"kernelspec": kernel})
    nbformat.write(notebook, path)
    return path


def write_with_parameters(path: Path, parameters: str) -> Path:
    """A notebook that declares these parameters and one check."""
    return write(path, code(parameters, "parameters"), code(CHECK))
