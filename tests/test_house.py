"""The house rules that a machine can see: floors, sizes, words for everything public, tests."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent
LONGEST_MODULE_LINES: Final = 400

FLOORS: Final = (
    ("__main__", "cli", "commands"),
    ("batch", "doctor", "layout", "prove"),
    ("reports",),
    ("reference",),
    (
        "lab",
        "bank",
        "cache_strategies",
        "detoured",
        "display",
        "doomed",
        "guard",
        "hostage",
        "lifetimes",
        "mixups",
        "output_redaction",
        "own_redis",
        "own_server",
        "pictures",
        "renames",
        "schedules",
        "sockets",
        "stale_sets",
    ),
    ("witness",),
    ("targets",),
    ("faults",),
    ("services",),
    ("warm",),
    ("judges",),
    (
        "checks",
        "deadlines",
        "hygiene",
        "needs",
        "notebook",
        "parameters",
        "parameter_types",
        "project",
        "skips",
    ),
    (
        "agui",
        "events",
        "journal",
        "json_values",
        "record_view",
        "records",
        "sabotage",
        "tables",
        "usage",
    ),
    ("", "environment", "errors", "file_scan", "ids", "redaction", "signals", "undisturbed"),
)
"""The modules and packages of labkit, from the doors down to the leaves."""

TESTED_ELSEWHERE: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "tests/test_cli.py": ("__main__", "commands.doctor", "commands.init"),
        "tests/batch/test_kernel_owner.py": ("batch.kernel_app",),
        "tests/batch/test_kernels.py": ("batch.environments",),
        "tests/test_cli_modes.py": ("commands.figures",),
        "tests/prove/test_prover.py": ("commands.prove",),
        "tests/prove/test_telling.py": ("commands.proof",),
        "tests/reference/data/test_store.py": ("reference.data.refusals",),
        "tests/reference/execution/test_engine.py": (
            "reference.execution.tool_calls",
            "reference.execution.turns",
            "reference.workshop",
        ),
        "tests/reference/routing/test_intake.py": ("reference.data.stages",),
        "tests/reference/test_platform.py": ("reference.assembly", "reference.parts"),
        "tests/reference/processes/test_servers.py": (
            "reference.__main__",
            "reference.processes.owner",
        ),
        "tests/reference/configuration/test_fleet.py": ("reference.configuration.__main__",),
        "tests/reference/configuration/test_live.py": ("reference.configuration.running",),
        "tests/reference/configuration/test_loading.py": ("reference.configuration.models",),
        "tests/reference/sabotage/test_catalogue.py": (
            "reference.sabotage.agents",
            "reference.sabotage.altered",
            "reference.sabotage.configuration",
            "reference.sabotage.contexts",
            "reference.sabotage.downstream",
            "reference.sabotage.notifications",
            "reference.sabotage.routing",
            "reference.sabotage.titles",
        ),
        "tests/reference/sabotage/test_data.py": ("reference.sabotage.schema",),
        "tests/reports/test_html.py": ("reports.markup", "reports.results"),
        "tests/reports/test_html_index.py": ("reports.troubles",),
        "tests/reports/test_html_notebook.py": ("reports.document", "reports.parameters"),
        "tests/reports/test_build.py": ("reports.results_json",),
        "tests/services/test_keeper.py": ("services.keeper_process",),
        "tests/services/test_leases.py": ("services.postgres_leases", "services.redis_leases"),
        "tests/services/test_embedded.py": ("services.scram",),
        "tests/targets/test_loading.py": (
            "targets.cache",
            "targets.configuration",
            "targets.contexts",
            "targets.data",
            "targets.notifications",
            "targets.pipeline",
            "targets.routing",
        ),
    }
)
"""Modules that show only through another one, by the tests of which they are held."""


@cache
def modules() -> Mapping[str, Path]:
    """The modules of labkit by name, without its own name in front."""
    package = ROOT / "labkit"
    paths = [path.relative_to(package) for path in package.rglob("*.py")]
    named = {".".join(path.with_suffix("").parts): package / path for path in paths}
    return {name.removesuffix("__init__").rstrip("."): path for name, path in named.items()}


@cache
def tree(path: Path) -> ast.Module:
    """The syntax of a module."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(parsed: ast.AST) -> Iterator[str]:
    """The full names of what is imported anywhere in it, as modules where they are modules."""
    for node in ast.walk(parsed):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=str(module), names=names):
                within = module.removeprefix("labkit").lstrip(".")
                for name in names:
                    inner = f"{within}.{name.name}".lstrip(".")
                    is_module = module.split(".")[0] == "labkit" and inner in modules()
                    yield f"{module}.{name.name}" if is_module else module


@cache
def needs(module: str) -> frozenset[str]:
    """The modules of labkit that a module imports."""
    names = imported(tree(modules()[module]))
    own = (name for name in names if name.split(".")[0] == "labkit")
    return frozenset(name.removeprefix("labkit").lstrip(".") for name in own)


def reached(module: str) -> frozenset[str]:
    """The module and all that it imports, however far."""
    found, ahead = set[str](), {module}
    while ahead:
        found |= ahead
        ahead = set[str]().union(*map(needs, ahead)) - found
    return frozenset(found)


def floor(module: str) -> int:
    """The number of a module's floor, counted from the doors."""
    return next(
        number for number, names in enumerate(FLOORS) if module.split(".", maxsplit=1)[0] in names
    )


def below(package: str) -> list[str]:
    """The modules of a package."""
    return [name for name in modules() if name.split(".")[0] == package]


def area(module: str) -> str:
    """The folder of the reference platform in which a module lies, or itself where in none."""
    return ".".join(module.split(".")[:2])


def test_every_module_has_its_floor() -> None:
    """Each module stands on one floor, and no floor names what is not there."""
    named = [name for names in FLOORS for name in names]
    assert sorted(named) == sorted({module.split(".")[0] for module in modules()})


def test_modules_import_from_their_floor_or_below() -> None:
    """No module knows one of a floor above its own."""
    above = [
        f"{module} imports {name}"
        for module in modules()
        for name in needs(module)
        if floor(name) < floor(module)
    ]
    assert above == []


def test_no_module_imports_itself_in_a_circle() -> None:
    """The modules can be put into an order in which each comes after what it imports."""
    TopologicalSorter({module: needs(module) for module in modules()}).prepare()


def test_the_folders_of_the_reference_platform_import_in_no_circle() -> None:
    """Of two areas of the platform, at most one knows the other."""
    areas: dict[str, set[str]] = {}
    for module in below("reference"):
        known = {area(name) for name in needs(module)} - {area(module)}
        areas.setdefault(area(module), set()).update(known)
    TopologicalSorter(areas).prepare()


def test_the_reference_platform_is_reached_by_name_alone() -> None:
    """Nothing outside of it imports it, no notebook either."""
    outside = [name for name in modules() if name.split(".")[0] != "reference"]
    assert [name for name in outside if set(needs(name)) & set(below("reference"))] == []
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    assert notebooks
    for path in notebooks:
        assert not [name for name in notebook_imports(path) if "reference" in name.split(".")]


@pytest.mark.parametrize("package", ["judges", "reports"])
def test_judges_and_reports_connect_to_nothing(package: str) -> None:
    """Neither they nor anything that they import knows a service or a driver."""
    forbidden = {"asyncio", "asyncpg", "redis", "socket", "subprocess"}
    for module in below(package):
        for name in reached(module):
            assert name.split(".")[0] != "services", f"{module} reaches {name}"
            roots = {one.split(".")[0] for one in imported(tree(modules()[name]))}
            assert roots.isdisjoint(forbidden), f"{module} reaches {name}"


def test_no_module_is_too_long() -> None:
    """A module that does not fit into 400 lines has more than one idea."""
    lines = {name: len(path.read_text().splitlines()) for name, path in modules().items()}
    assert {name: count for name, count in lines.items() if count >= LONGEST_MODULE_LINES} == {}


def test_everything_public_is_described() -> None:
    """Each module, and each class, function and method with a public name, has a docstring."""
    parsed = {module: tree(path) for module, path in modules().items()}
    assert [module for module in parsed if not ast.get_docstring(parsed[module])] == []
    assert {name: list(undescribed(one.body)) for name, one in parsed.items()} == {
        name: [] for name in parsed
    }


def test_every_module_has_its_tests() -> None:
    """`tests/x/test_y.py` for `labkit/x/y.py`, or the tests of what it shows through."""
    elsewhere = {name for names in TESTED_ELSEWHERE.values() for name in names}
    contents = {name for name, path in modules().items() if path.name != "__init__.py"}
    assert {name for name in contents if not own_tests(name).exists()} == elsewhere
    assert [path for path in TESTED_ELSEWHERE if not (ROOT / path).exists()] == []


def own_tests(module: str) -> Path:
    """Where the tests of a module lie."""
    *folders, name = module.split(".")
    return ROOT.joinpath("tests", *folders, f"test_{name}.py")


def undescribed(body: Iterable[ast.stmt]) -> Iterator[str]:
    """Public names that are bound by `class` or `def` without a docstring."""
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if node.name.startswith("_"):
                continue
            if not ast.get_docstring(node):
                yield node.name
            if isinstance(node, ast.ClassDef):
                yield from undescribed(node.body)


def notebook_imports(path: Path) -> Iterator[str]:
    """What the code cells of a notebook import."""
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
            yield from imported(compile("".join(cell["source"]), str(path), "exec", flags))
