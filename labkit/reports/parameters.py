"""The parameters of an executed notebook, as its cells give them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from labkit.reports.document import Document


@dataclass(frozen=True)
class ParameterShown:
    """A parameter's last value, as source text."""

    name: str
    value: str
    given: bool
    """Whether the run gave it; otherwise it is the notebook's default."""


def parameters(document: Document) -> tuple[ParameterShown, ...]:
    """The parameters in the order of their declaration; those given override the defaults."""
    found: dict[str, ParameterShown] = {}
    for tag, given in (("parameters", False), ("injected-parameters", True)):
        for cell in document.cells:
            if tag in cell.tags:
                for name, value in _assigned(cell.source):
                    found[name] = ParameterShown(name, value, given)
    return tuple(found.values())


def _assigned(source: str) -> Iterator[tuple[str, str]]:
    """Names and values of the assignments; none where the source is not Python."""
    try:
        statements = ast.parse(source).body
    except (SyntaxError, ValueError):
        return
    for statement in statements:
        if isinstance(statement, ast.AnnAssign) and statement.value is not None:
            yield ast.unparse(statement.target), ast.unparse(statement.value)
        elif isinstance(statement, ast.Assign):
            yield ast.unparse(statement.targets[0]), ast.unparse(statement.value)
