"""What a notebook says of itself in its source, before anything of it runs.

Its title, its business value, its parameters and the checks that it declares: enough to plan a run,
and to miss a check that never ran. Nothing is executed or imported. Cells are counted from 0, as
they stand in the file; the cell that papermill injects moves those behind the parameters by one.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from unicodedata import category

from IPython.core.inputtransformer2 import TransformerManager

from labkit.errors import NotebookError
from labkit.needs import read_cells
from labkit.parameters import Fault, Parameter, read_parameters

MAX_NOTEBOOK_BYTES: Final = 50_000_000
"""The largest notebook that is read."""


@dataclass(frozen=True)
class BusinessValue:
    """Why a notebook matters; a line that it does not state is empty."""

    text: str
    """The whole cell, as Markdown."""
    segment: str
    business_goal: str
    value_impact: str
    strategic_impact: str


@dataclass(frozen=True)
class DeclaredCheck:
    """A check that a notebook's source opens."""

    name: str
    claim: str
    cell: int
    needs: tuple[str, ...] = ()
    """What its source touches of the target, such as `data.create_user`."""
    isolation: bool = False
    """Whether it claims that users are kept apart, which no target may leave out."""


@dataclass(frozen=True)
class NotebookSource:
    """A notebook as its source declares it."""

    path: Path
    name: str
    """The file's name without its suffix."""
    title: str
    """The first heading of the first level; the name where there is none."""
    business_value: BusinessValue | None
    parameters: tuple[Parameter, ...]
    checks: tuple[DeclaredCheck, ...]
    """In the order of the source; at least one."""
    digest: str
    """Tells its code apart from every other: outputs, prose and metadata do not count."""


@dataclass(frozen=True)
class _Cell:
    number: int
    kind: str
    source: str
    tags: frozenset[str]

    @property
    def is_executed(self) -> bool:
        """Whether it is sent to a kernel: nbclient leaves out blank cells and those tagged so."""
        return (
            self.kind == "code" and bool(self.source.strip()) and "skip-execution" not in self.tags
        )


def read_notebook(path: Path) -> NotebookSource:
    """What the notebook at `path` declares.

    Raises `NotebookError` with everything that is wrong: a file that is no notebook of format 4 for
    Python, a cell that cannot be parsed, a check without a literal name and claim or of a name that
    another has, no check at all, and parameters that are no typed names with JSON defaults.
    """
    cells = tuple(_read_cells(_read_document(path), path))
    faults: list[str] = []
    trees = dict(_parse_cells(cells, faults))
    parameters = _read_parameters_cell(cells, trees, faults)
    checks = tuple(_read_checks(trees, faults))
    if not (checks and any(cell.is_executed for cell in cells)) and not faults:
        faults.append(
            "it declares no check, so that nothing could be said of it; write"
            ' \'async with lab.check("name", "claim") as check:\' in a code cell'
        )
    if faults:
        raise NotebookError(_message(path, faults))
    return NotebookSource(
        path=path,
        name=path.stem,
        title=_title(cells) or path.stem,
        business_value=_business_value(cells),
        parameters=parameters,
        checks=checks,
        digest=_digest(cells),
    )


def _digest(cells: Iterable[_Cell]) -> str:
    code = [(cell.is_executed, cell.source) for cell in cells if cell.kind == "code"]
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()[:16]


def _message(path: Path, faults: Sequence[str]) -> str:
    if len(faults) == 1:
        return f"{path}: {faults[0]}"
    return "\n".join([f"{path} has {len(faults)} faults:", *(f"- {fault}" for fault in faults)])


def _read_document(path: Path) -> dict[str, Any]:
    """The notebook as JSON, refused unless its head says format 4 and Python."""
    content = _read_content(path)
    try:
        document = json.loads(content.decode("utf-8"))
        # What was read must be writable again, which half a surrogate pair is not.
        json.dumps(document, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise NotebookError(f"{path} is not a notebook: it is not JSON; check the path") from error
    if not isinstance(document, dict) or not isinstance(document.get("cells", []), list):
        raise NotebookError(f"{path} is not a notebook: it has no list of cells; check the path")
    if document.get("nbformat") != 4:
        raise NotebookError(
            f"{path} is of notebook format {document.get('nbformat')!r:.20}, not 4; open it in"
            " JupyterLab and save it, which converts it"
        )
    if (language := _language(document.get("metadata"))) not in {"", "python"}:
        raise NotebookError(f"{path} is written in {language!r:.40}; only Python can be run")
    return document


def _read_content(path: Path) -> bytes:
    try:
        if not path.is_file():
            kind = "is a folder" if path.is_dir() else "does not exist as a file"
            raise NotebookError(f"{path} {kind}; name a notebook")
        with path.open("rb") as file:
            content = file.read(MAX_NOTEBOOK_BYTES + 1)
    except OSError as error:
        reason = error.strerror or "an error of the system"
        raise NotebookError(f"{path} cannot be read: {reason}; check its rights") from error
    if len(content) > MAX_NOTEBOOK_BYTES:
        raise NotebookError(
            f"{path} is larger than {MAX_NOTEBOOK_BYTES:,} bytes; clear its outputs and save it"
        )
    return content


def _language(metadata: object) -> str:
    """The language in the metadata, in lower case; empty where none is given."""
    for member, key in (("language_info", "name"), ("kernelspec", "language")):
        described = metadata.get(member) if isinstance(metadata, dict) else None
        named = described.get(key) if isinstance(described, dict) else None
        if isinstance(named, str):
            return named.lower()
    return ""


def _read_cells(document: dict[str, Any], path: Path) -> Iterator[_Cell]:
    for number, cell in enumerate(document.get("cells", [])):
        match cell:
            case {
                "cell_type": "code" | "markdown" | "raw" as kind,
                "source": str() | list() as source,
            }:
                text = source if isinstance(source, str) else "".join(map(str, source))
                yield _Cell(number, kind, text, _tags(cell.get("metadata")))
            case _:
                raise NotebookError(
                    f"{path} is not a notebook: cell {number} has no type or source"
                )


def _tags(metadata: object) -> frozenset[str]:
    match metadata:
        case {"tags": list() as tags}:
            return frozenset(filter(lambda tag: isinstance(tag, str), tags))
    return frozenset()


def _parse_cells(cells: Iterable[_Cell], faults: list[str]) -> Iterator[tuple[int, ast.Module]]:
    for cell in cells:
        if cell.kind == "code":
            try:
                yield cell.number, _parse(cell.source)
            except SyntaxError as error:
                place = f"cell {cell.number}, line {error.lineno or 1}"
                faults.append(f"{place}: this is not Python ({error.msg}); correct it")
            except (ValueError, RecursionError, MemoryError, RuntimeError) as error:
                reason = str(error) or "nested too deeply"
                faults.append(f"cell {cell.number} cannot be parsed ({reason}); simplify it")


def _parse(source: str) -> ast.Module:
    """The cell as IPython would compile it, with magics and awaits, and with its own lines."""
    # Named with its type, since IPython leaves this constructor without one.
    transformer: Callable[[], TransformerManager] = TransformerManager
    code = transformer().transform_cell(source)
    blank_lines = source[: len(source) - len(source.lstrip())].count("\n")
    with warnings.catch_warnings():
        # Python's warnings on a cell's source belong to the kernel that runs it, which shows them.
        warnings.simplefilter("ignore")
        return ast.parse("\n" * blank_lines + code)


def _read_parameters_cell(
    cells: Sequence[_Cell], trees: Mapping[int, ast.Module], faults: list[str]
) -> tuple[Parameter, ...]:
    tagged = [cell for cell in cells if "parameters" in cell.tags]
    if len(tagged) > 1:
        numbers = " and ".join(str(cell.number) for cell in tagged)
        faults.append(f"the cells {numbers} are all tagged 'parameters'; leave the tag on one")
    elif tagged and tagged[0].kind != "code":
        faults.append(
            f"cell {tagged[0].number} is tagged 'parameters' but is no code; move the tag"
        )
    elif tagged and (tree := trees.get(tagged[0].number)) is not None:
        parameters, wrong = read_parameters(tree)
        faults += _placed(tagged[0].number, wrong)
        return parameters
    return ()


def _placed(cell: int, faults: Iterable[Fault]) -> list[str]:
    return [f"cell {cell}, line {fault.line}: {fault.text}" for fault in faults]


def _read_checks(trees: Mapping[int, ast.Module], faults: list[str]) -> Iterator[DeclaredCheck]:
    """The checks in the order of the source; a name that is used twice is a fault."""
    cell_of: dict[str, int] = {}
    calls = {cell: _calls_of_check(tree) for cell, tree in trees.items()}
    labs = (call.receiver for found in calls.values() for call in found)
    reading = read_cells(tuple(trees.values()), labs)
    for cell, tree in trees.items():
        for call in calls[cell]:
            try:
                name, claim = _read_check(call)
                isolation = _read_isolation(call)
            except ValueError as error:
                faults += _placed(cell, [Fault(call.node.lineno, str(error))])
                continue
            if name in cell_of:
                text = f"cell {cell_of[name]} has a check {name} too; rename one of them"
                faults += _placed(cell, [Fault(call.node.lineno, text)])
            cell_of[name] = cell
            needs = reading.needs_of(call.block or call.node, tree)
            yield DeclaredCheck(name, claim, cell, needs, isolation)


@dataclass(frozen=True)
class _Call:
    node: ast.Call
    receiver: str
    block: ast.AsyncWith | None
    """The `async with` that it stands in."""


def _calls_of_check(tree: ast.Module) -> list[_Call]:
    """Every `<name>.check(…)` that an `async with` enters, and every other `lab.check(…)`."""
    blocks = {
        item.context_expr: node
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncWith)
        for item in node.items
    }
    calls = []
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=receiver), attr="check")):
                if node in blocks or receiver == "lab":
                    calls.append(_Call(node, receiver, blocks.get(node)))
    return sorted(calls, key=lambda call: (call.node.lineno, call.node.col_offset))


def _read_check(call: _Call) -> tuple[str, str]:
    """The name and claim of a check; raises `ValueError` where they cannot be known."""
    if call.block is None:
        raise ValueError("a check opened outside of 'async with' cannot be known; open it there")
    match call.node.args:
        case [ast.Constant(value=str(name)), ast.Constant(value=str(claim)), *_]:
            if not _CHECK_NAME.fullmatch(name):
                raise ValueError(
                    f"{name!r:.120} cannot name a check; take 1 to 100 of a-z, 0-9 and _"
                )
            if not claim.strip() or any(category(sign) in {"Cc", "Cs"} for sign in claim):
                raise ValueError(f"{name} claims {claim!r:.80}; state in one line what it shows")
            return name, claim
    raise ValueError(
        "a check's name and claim must be literal texts, so that they are known before anything"
        ' runs; write lab.check("name", "claim")'
    )


def _read_isolation(call: _Call) -> bool:
    given = [word.value for word in call.node.keywords if word.arg == "isolation"]
    match given:
        case []:
            return False
        case [ast.Constant(value=bool(isolation))]:
            return isolation
    raise ValueError("isolation must be known before anything runs; write True or False")


_CHECK_NAME: Final = re.compile(r"[a-z0-9_]{1,100}")


def _title(cells: Iterable[_Cell]) -> str:
    for cell in cells:
        in_fence = False
        for line in cell.source.splitlines() if cell.kind == "markdown" else ():
            in_fence ^= line.lstrip().startswith(("```", "~~~"))
            if not in_fence and (heading := re.match(r"#\s+(.*?)[\s#]*$", line)):
                return heading[1]
    return ""


def _business_value(cells: Iterable[_Cell]) -> BusinessValue | None:
    text = next((cell.source for cell in cells if "business-value" in cell.tags), None)
    if text is None:
        return None
    lines = dict(_labelled_lines(text))
    return BusinessValue(
        text=text,
        segment=lines.get("segment", ""),
        business_goal=lines.get("business goal", ""),
        value_impact=lines.get("value impact", ""),
        strategic_impact=lines.get("strategic impact", ""),
    )


def _labelled_lines(text: str) -> Iterator[tuple[str, str]]:
    """The list items `- **Label:** text`, each with its continuation lines, label in lower case."""
    item = r"^[-*+]\s+\*\*([^*:]+):?\*\*:?\s*(.*(?:\n[ \t]+(?![-*+]\s)\S.*)*)"
    for label, value in re.findall(item, text, re.MULTILINE):
        yield label.strip().lower(), " ".join(value.split())
