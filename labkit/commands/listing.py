"""`labkit list`: what a project can show, and why it matters."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from labkit.commands.console import console, print_hanging
from labkit.errors import NotebookError
from labkit.notebook import BusinessValue, DeclaredCheck, NotebookSource, read_notebook
from labkit.parameter_types import describe
from labkit.project import Project, find_project
from labkit.record_view import SYMBOLS
from labkit.records import Outcome
from labkit.reports.texts import one_line
from labkit.targets.loading import declared_gap, importing_from, load_target, part_of
from labkit.targets.protocols import Described


def show_areas(*, target: str | None, as_json: bool) -> int:
    """Print the project's areas, for people or as JSON; 0.

    With a `target`, each check that it would not run, and why, as far as the check's source, what
    the target declares and its class tell it. Raises `TargetError` when it cannot be loaded,
    `NotebookError` for the notebooks that cannot be read, after the others were shown, and
    `UsageError` where there is no project.
    """
    project = find_project(Path.cwd())
    described = None if target is None else _load(target, project)
    notebooks, faults = _read(project.project_notebooks())
    out = console()
    if as_json:
        areas = [_area_json(notebook, project, described) for notebook in notebooks]
        out.print(json.dumps({"areas": areas}, indent=2), soft_wrap=True)
    else:
        _print(notebooks, project, described, out)
    if faults:
        raise NotebookError("\n".join(faults))
    return 0


def _read(paths: Sequence[Path]) -> tuple[list[NotebookSource], list[str]]:
    notebooks, faults = [], []
    for path in paths:
        try:
            notebooks.append(read_notebook(path))
        except NotebookError as error:
            faults.append(str(error))
    return notebooks, faults


def _load(target: str, project: Project) -> Described:
    with importing_from(project.root):  # a target of the project's own, as in the kernels
        return load_target(target)


def _source(notebook: NotebookSource, project: Project) -> str:
    return notebook.path.relative_to(project.root).as_posix()


def _area_json(
    notebook: NotebookSource, project: Project, target: Described | None
) -> dict[str, Any]:
    return {
        "name": notebook.name,
        "title": notebook.title,
        "source": _source(notebook, project),
        "business_value": _business_value_json(notebook.business_value),
        "parameters": [
            {"name": one.name, "type": describe(one.type), "default": one.default}
            for one in notebook.parameters
        ],
        "checks": [_check_json(check, target) for check in notebook.checks],
    }


def _check_json(check: DeclaredCheck, target: Described | None) -> dict[str, Any]:
    """A check; with a target, how it would end before it compares anything, if it would."""
    told: dict[str, Any] = {"name": check.name, "claim": check.claim, "needs": check.needs}
    if target is not None:
        outcome, why = _outlook(check, target) or (None, "")
        told["outlook"] = {"outcome": outcome, "why": why}
    return told


def _outlook(check: DeclaredCheck, target: Described) -> tuple[Outcome, str] | None:
    """How a check would end at its first gap; None where nothing speaks against its running."""
    for need in check.needs:
        gap = declared_gap(target, [need])
        has_part = getattr(target, part_of(need), None) is not None
        if gap is not None and (has_part or check.isolation or _is_no_method(gap[0])):
            return _end_at(*gap, check, target, has_part=has_part)
        if not has_part and not need.startswith("tables."):
            part = part_of(need)
            told = f"{target.name} does not declare that it lacks {part}, and its class shows none"
            return Outcome.UNKNOWN, f"{told}: broken, unless it has that part once it is open"
    return None


def _end_at(
    lacking: str, why: str, check: DeclaredCheck, target: Described, *, has_part: bool
) -> tuple[Outcome, str]:
    told = f"{target.name} lacks {lacking}: {why}"
    if check.isolation and (has_part or not _is_no_method(lacking)):
        return Outcome.BROKEN, f"{told}. Isolation is not skippable in a part that is there"
    return Outcome.SKIPPED, told


def _is_no_method(lacking: str) -> bool:
    """Whether it is a part or a table: who lacks a method alone says that the part is there."""
    return "." not in lacking or lacking.startswith("tables.")


def _business_value_json(value: BusinessValue | None) -> dict[str, str] | None:
    """Its lines by name, an empty one where it is not stated; the whole text is the notebook's."""
    if value is None:
        return None
    return {name: line for name, line in asdict(value).items() if name != "text"}


def _print(
    notebooks: Sequence[NotebookSource], project: Project, target: Described | None, out: Console
) -> None:
    if not notebooks:
        out.print(f"no notebook in {project.notebooks} can be listed", soft_wrap=True)
    for number, notebook in enumerate(notebooks):
        if number:
            out.print()
        _print_area(notebook, project, target, out)


def _print_area(
    notebook: NotebookSource, project: Project, target: Described | None, out: Console
) -> None:
    heading = Text(notebook.name, style="bold")
    out.print(heading.append(f"  {one_line(notebook.title)}", style="not bold"), soft_wrap=True)
    for label, value in _facts(notebook, project):
        print_hanging(out, Text(f"  {label:<16}  ", style="cyan"), Text(one_line(value)))
    for check in notebook.checks:
        print_hanging(out, Text("  "), Text(check.name, style="green"))
        print_hanging(out, Text("    "), Text(one_line(check.claim)))
        if check.needs:
            print_hanging(out, Text("    needs ", style="cyan"), Text(_by_part(check.needs)))
        if target is not None and (outlook := _outlook(check, target)):
            outcome, why = outlook
            sign = Text(f"    {SYMBOLS[outcome]} {outcome} ", style="yellow")
            print_hanging(out, sign, Text(one_line(why)))


def _by_part(needs: Sequence[str]) -> str:
    """What is needed of each part of a target, each part named once."""
    methods: dict[str, list[str]] = {}
    for need in needs:
        part, _, method = need.partition(".")
        methods.setdefault(part, []).extend([method] if method else [])
    return ", ".join(_part(part, *names) for part, names in methods.items())


def _part(name: str, *methods: str) -> str:
    match methods:
        case ():
            return name
        case (method,):
            return f"{name}.{method}"
    return f"{name} ({', '.join(methods)})"


def _facts(notebook: NotebookSource, project: Project) -> Iterator[tuple[str, str]]:
    """Where it lies, the stated lines of its business value, and its parameters."""
    yield "notebook", _source(notebook, project)
    for name, line in (_business_value_json(notebook.business_value) or {}).items():
        if line:
            yield name.replace("_", " "), line
    if notebook.parameters:
        declared = (f"{one.name}: {describe(one.type)}" for one in notebook.parameters)
        yield "parameters", ", ".join(declared)
