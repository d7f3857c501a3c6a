"""What a check needs of a target, read from the notebook's source before anything of it runs.

A need is a method of a part, such as `data.create_user`, a table, such as `tables.threads`, or a
part alone, where it is handed on as a whole. Names that stand for a part (`data = lab.data`) and
functions that the notebook defines are followed, and so is a context while a block has it under a
name; what the lab's own helpers do with a part is not.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

PARTS: Final = (
    "pipeline",
    "lifecycle",
    "notifications",
    "sockets",
    "contexts",
    "data",
    "cache",
    "configuration",
    "routing",
)
"""The parts of a target, as a lab calls them."""

_TABLES: Final = "tables"
_MEANT: Final[Mapping[str, str]] = MappingProxyType(
    {
        **{part: part for part in PARTS},
        _TABLES: _TABLES,
        "hostage": "data.transaction",
    }
)
"""What the members of a lab are, or need, of its target."""

_CONNECTING: Final = (
    ("sockets.doors", "door"),
    ("sockets.token", "token"),
    ("sockets.headers", "login"),
    ("sockets.read", ""),
)
"""What a lab's `connect` needs, each unless this argument is given."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Reading:
    """A notebook's cells, read for what the names in them mean."""

    labs: frozenset[str]
    """The names under which a lab is known."""
    functions: Mapping[str, Function]
    aliases: Mapping[str, str]
    """What names stand for, given outside of checks."""

    def needs_of(self, check: ast.AST, cell: ast.Module) -> tuple[str, ...]:
        """What a check that stands in a cell needs, in the order of the source."""
        own = dict(_assigned(ast.walk(cell), self.labs, self.aliases))
        known = {name: path for name, path in {**self.aliases, **own}.items() if path is not None}
        finder = _Finder(self.labs, known)
        ahead, entered = [check], set[str]()
        while ahead:
            finder.visit(ahead.pop(0))
            called = {name for name in finder.names if name in self.functions} - entered
            ahead += [self.functions[name] for name in finder.names if name in called]
            entered |= called
        return _without_wholes(tuple(finder.needs))


def read_cells(cells: Sequence[ast.Module], labs: Iterable[str]) -> Reading:
    """A notebook's cells, whose labs have these names beside `lab`."""
    names = frozenset(labs) | {"lab"}
    top = [statement for cell in cells for statement in cell.body]
    given = {name: path for name, path in _assigned(top, names, {}) if path is not None}
    return Reading(
        labs=names,
        functions={one.name: one for one in top if isinstance(one, Function)},
        aliases=given,
    )


@dataclass
class _Finder(ast.NodeVisitor):
    """Walks through source and keeps what it finds, in order and once."""

    labs: frozenset[str]
    aliases: Mapping[str, str]
    needs: dict[str, None] = field(default_factory=dict)
    names: dict[str, None] = field(default_factory=dict)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """A need, where the chain begins with a lab or a name for a part."""
        path = _path(node, self.labs, self.aliases)
        if path is None:
            self.generic_visit(node)
        else:
            self.needs[".".join(path.split(".")[:2])] = None

    def visit_Call(self, node: ast.Call) -> None:
        """Beside what it names, what connecting needs."""
        match node.func:
            case ast.Attribute(value=ast.Name(id=name), attr="connect") if name in self.labs:
                given = {keyword.arg for keyword in node.keywords}
                for need, instead in _CONNECTING:
                    if instead not in given:
                        self.needs[need] = None
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        """A part that is handed on, or a function that is called."""
        self.names[node.id] = None
        if isinstance(node.ctx, ast.Load) and node.id in self.aliases:
            self.needs[self.aliases[node.id]] = None


def _path(node: ast.expr, labs: frozenset[str], aliases: Mapping[str, str]) -> str | None:
    """What an expression is of the target; None for anything else."""
    match node:
        case ast.Name(id=name):
            return aliases.get(name)
        case ast.Attribute(value=ast.Name(id=name), attr=member) if name in labs:
            return _MEANT.get(member)
        case ast.Attribute(value=whole, attr=member):
            path = _path(whole, labs, aliases)
            return None if path is None else f"{path}.{member}"
    return None


def _assigned(
    nodes: Iterable[ast.AST], labs: frozenset[str], aliases: Mapping[str, str]
) -> Iterator[tuple[str, str | None]]:
    """The names that are given, and what of the target each stands for, if for anything."""
    for node in nodes:
        match node:
            case ast.Assign(targets=[ast.Tuple(elts=left)], value=ast.Tuple(elts=right)):
                pairs = list(zip(left, right, strict=False))
            case ast.Assign(targets=[ast.Name() as one], value=value):
                pairs = [(one, value)]
            case ast.withitem(context_expr=ast.Call(func=call), optional_vars=ast.Name(id=held)):
                yield held, "contexts" if _path(call, labs, aliases) == "contexts.open" else None
                continue
            case _:
                continue
        for name, value in pairs:
            if isinstance(name, ast.Name):
                yield name.id, _path(value, labs, aliases)


def _without_wholes(needs: Sequence[str]) -> tuple[str, ...]:
    """Without the parts of which a method is named, and without the tables as a whole."""
    parts = {need.partition(".")[0] for need in needs if "." in need} | {_TABLES}
    return tuple(need for need in needs if need not in parts)
